"""Tasks and their configuration, as Label Studio's SDK reads them: label_studio.py TASKS SUSPECTS FOLDER"""
import json
import os
import sys
import urllib.parse

from label_studio_sdk.label_interface import LabelInterface

root, suspects, folder = sys.argv[1], json.load(open(sys.argv[2]))["suspects"], sys.argv[3]
interface = LabelInterface(open(f"{root}/config.xml").read())
interface.validate()
tasks = json.load(open(f"{root}/tasks.json"))
assert len(tasks) == len(suspects) > 0
for task, suspect in zip(tasks, suspects):
    assert interface.validate_task({"data": task["data"]}), task
    (prediction,) = task["predictions"]
    wrong = interface.validate_prediction(prediction, return_errors=True)
    assert not wrong, wrong
    assert prediction["result"][0]["value"]["choices"] == [suspect["suggested"]] and task["data"]["given"] == suspect["given"]
    at = urllib.parse.parse_qs(urllib.parse.urlsplit(task["data"]["image"]).query)["d"][0]
    assert os.path.isfile(os.path.join(folder, at)), at
print(f"publishing: {len(tasks)} tasks, valid by Label Studio's SDK")
