"""SQL over both, by DuckDB: duckdb_join.py DATASET SPLIT PREDICTIONS"""
import sys

import duckdb
import pyarrow as pa

root, split, predictions = sys.argv[1:]
images = pa.ipc.open_file(f"{root}/{split}/index.arrow").read_all()  # tables that queries see by their names
classes = pa.ipc.open_file(f"{root}/classes.arrow").read_all()
predicted = pa.ipc.open_file(predictions).read_all()  # of a .parquet, SQL says: FROM 'predictions.parquet'
predicted = predicted.select(["path", "pred_synset", "pred_prob", "error"])  # an embedding may be of 16-bit floats, which DuckDB has not

print(duckdb.sql("""
    SELECT c.words[1] AS truth, p.pred_synset[1] AS best, count(*) AS images, avg(p.pred_prob[1]) AS sure, avg(i.width * i.height) AS pixels
    FROM predicted p JOIN images i USING (path) JOIN classes c ON c.synset = i.synset
    WHERE p.error IS NULL AND p.pred_synset[1] <> i.synset
    GROUP BY ALL ORDER BY images DESC, truth, best LIMIT 10
"""))
(count, right), = duckdb.sql("""
    SELECT count(*), count(*) FILTER (p.pred_synset[1] = i.synset) FROM predicted p JOIN images i USING (path) WHERE p.error IS NULL
""").fetchall()
print(f"{count} images, {right} right")
