// What a page does not need to be read: branches of the tree that open in their place, how far predictions are, and
// arrows that turn pages.
"use strict";

for (const tree of document.querySelectorAll(".tree")) prepare(tree);

// prepare gives every branch of a tree a button.
function prepare(tree) {
  for (const item of tree.querySelectorAll("li[data-key]")) {
    const link = item.querySelector("a");
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-label", "Below " + link.textContent);
    show(button, "open" in item.dataset);
    button.addEventListener("click", () => toggle(item, button));
    item.prepend(button);
  }
}

function show(button, open) {
  button.setAttribute("aria-expanded", open);
  button.textContent = open ? "\u25be" : "\u25b8";
}

async function toggle(item, button) {
  const open = button.getAttribute("aria-expanded") !== "true";
  let branch = item.querySelector("ul");
  if (open && !branch) {
    button.setAttribute("aria-busy", "true");
    try {
      const answer = await fetch("/tree/" + encodeURIComponent(item.dataset.key));
      if (!answer.ok) throw new Error(answer.status);
      branch = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("ul");
    } catch {
      location.href = item.querySelector("a").href; // its page says the same
      return;
    } finally {
      button.removeAttribute("aria-busy");
    }
    prepare(branch);
    item.append(branch);
  }
  branch.hidden = !open;
  show(button, open);
}

// follow says how far predictions are until they are there. A page that waits for them comes then; another one
// is left as it is, with a link.
async function follow(now) {
  try {
    const answer = await fetch("/reading");
    if (!answer.ok) throw new Error(answer.status);
    const next = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector(".reading");
    if (!("reading" in next.dataset)) {
      if (document.querySelector("[data-waiting]")) location.reload();
      else now.replaceWith(next);
      return;
    }
    const value = next.querySelector("progress").getAttribute("value");
    if (value) now.querySelector("progress").setAttribute("value", value);
    setTimeout(follow, 1000, now);
  } catch {
    now.textContent = "The server does not answer: where it was started, it says why.";
  }
}

for (const now of document.querySelectorAll("[data-reading]")) setTimeout(follow, 1000, now);

document.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey || event.target.closest("input, button, .wide")) return;
  const rel = { ArrowLeft: "prev", ArrowRight: "next" }[event.key];
  const link = rel && document.querySelector(`a[rel=${rel}]`);
  if (link) link.click();
});
