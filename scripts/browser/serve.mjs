// Walks through what synshard serve shows, in Chromium, and holds it to what it promises: no message on the console, no
// request elsewhere, no name or image that does anything, the keyboard reaches all, axe finds nothing, in the light and in
// the dark, wide and narrow, with and without its script.
//   node serve.mjs CHROMIUM SYNSHARD DATASET PREDICTIONS MODEL SCREENSHOTS SCRATCH
//   node serve.mjs CHROMIUM SYNSHARD --hostile DATASET PREDICTIONS CLASSES
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";
import puppeteer from "puppeteer-core";

const [chromium, synshard, ...rest] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const faults = [];
const never = 5 * 60e3; // what has not come by then, on however busy a machine, does not come

// serve starts the program and gives its address.
async function serve(...args) {
  const child = spawn(synshard, ["serve", ...args, "--progress", "off"], { stdio: ["ignore", "pipe", "inherit"] });
  for await (const line of createInterface({ input: child.stdout })) return { child, base: line.trim().replace(/\/$/, "") };
  throw new Error("synshard serve printed no address");
}

// there waits until predictions are.
async function there(base) {
  for (let answer; ; await new Promise((r) => setTimeout(r, 100))) {
    answer = await fetch(base + "/mistakes");
    if (answer.status === 200) return;
    if (answer.status !== 503) throw new Error(`/mistakes: ${answer.status}`);
  }
}

// watched opens a page of which everything odd is a fault.
async function watched(browser, base, { scheme = "light", width = 1100, script = true } = {}) {
  const page = await browser.newPage();
  page.setDefaultTimeout(never);
  const where = () => `${page.url().replace(base, "")} (${scheme}, ${width} px${script ? "" : ", no script"})`;
  page.on("console", (m) => faults.push(`${where()}: console: ${m.text()}`));
  page.on("pageerror", (e) => faults.push(`${where()}: ${e.message}`));
  page.on("dialog", (d) => { faults.push(`${where()}: a dialog says ${d.message()}`); d.dismiss(); });
  page.on("request", (r) => { if (!r.url().startsWith(base + "/") && r.url() !== "about:blank") faults.push(`${where()}: it asks for ${r.url()}`); });
  await page.setJavaScriptEnabled(script);
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
  await page.setViewport({ width, height: 1000 });
  page.fault = (text) => faults.push(`${where()}: ${text}`);
  return page;
}

// settled waits for the images of a page and looks at how it lies in the window.
async function settled(page) {
  const seen = await page.evaluate(async () => {
    const images = [...document.images];
    for (const i of images) i.loading = "eager";
    await Promise.all(images.map((i) => i.decode().catch(() => {})));
    return { broken: images.filter((i) => !i.naturalWidth).map((i) => i.src), wide: document.documentElement.scrollWidth - innerWidth,
      scripts: document.scripts.length, main: document.querySelectorAll("main h1").length };
  });
  for (const b of seen.broken) page.fault(`a broken image: ${b}`);
  if (seen.wide > 0) page.fault(`the page is ${seen.wide} px wider than the window`);
  if (seen.scripts !== 1) page.fault(`${seen.scripts} scripts`);
  if (seen.main !== 1) page.fault(`${seen.main} headings`);
}

async function checked(page) {
  await settled(page);
  await page.evaluate(axe);
  const found = await page.evaluate(() => axe.run(document));
  for (const v of found.violations) page.fault(`axe: ${v.impact}: ${v.id}: ${v.help}: ${v.nodes[0].html.slice(0, 160)}`);
}

// follow takes the link that a selector finds, and waits for the page behind it: by the keyboard, since a pointer misses
// what images move that come while it is on its way.
async function follow(page, selector) {
  const link = await page.$(selector);
  if (!link) { page.fault(`nothing is ${selector}`); return; }
  await link.focus();
  await Promise.all([page.waitForNavigation({ waitUntil: "load" }), page.keyboard.press("Enter")]);
}

const text = (page, selector) => page.$eval(selector, (e) => e.textContent);

// walk does what a person would.
async function walk(browser, base) {
  const page = await watched(browser, base);
  const expect = (ok, what) => { if (!ok) page.fault(what); };
  await page.goto(base + "/", { waitUntil: "load" });
  await page.keyboard.press("Tab");
  expect(await page.evaluate(() => document.activeElement.className) === "skip", "the first stop of the keyboard is not the link to the content");
  await page.keyboard.press("Enter");
  expect(await page.evaluate(() => document.activeElement.id) === "main", "the link to the content does not lead there");

  const closed = ".tree button[aria-expanded=false]";
  const before = await page.$$eval(".tree li", (l) => l.length);
  await page.focus(closed);
  await page.keyboard.press("Enter");
  await page.waitForFunction((n) => document.querySelectorAll(".tree li").length > n, {}, before);
  await page.click(closed);
  await page.waitForFunction((n) => document.querySelectorAll(".tree li").length > n + 1, {}, before);
  await checked(page);
  await follow(page, ".tree li li a");
  expect((await text(page, "h1")).length > 3, "a synset without a name");

  await page.type("#q", "lemon");
  await Promise.all([page.waitForNavigation({ waitUntil: "load" }), page.keyboard.press("Enter")]);
  await checked(page);
  await follow(page, ".results a");
  expect((await text(page, "h1")).includes("lemon"), "a search for lemon leads elsewhere");
  await checked(page);

  for (const long of ["n00001740", "unlabelled"]) {
    await page.goto(base + "/synset/" + long, { waitUntil: "load" });
    if (await page.$("a[rel=next]")) break;
  }
  await follow(page, "a[rel=next]");
  await Promise.all([page.waitForNavigation({ waitUntil: "load" }), page.keyboard.press("ArrowRight")]);
  expect(page.url().includes("page=3"), "next and an arrow do not lead to page 3");
  await settled(page);
  await follow(page, ".examples a");
  await checked(page);
  const original = await page.evaluate(() => fetch(document.querySelector("a[href$=original]").href).then((r) => r.headers.get("content-type")));
  expect(original === "image/jpeg", `the original is ${original}`);
  await Promise.all([page.waitForNavigation({ waitUntil: "load" }), page.keyboard.press("ArrowRight")]);
  expect(/\/image\/\w+\/\d+$/.test(page.url()), "an arrow does not lead to the next image");

  await follow(page, "nav a[href='/mistakes']");
  await checked(page);
  await follow(page, ".examples a");
  expect((await text(page, "main")).includes("taken for"), "a mistake does not say what it was taken for");
  const mistake = page.url();
  await follow(page, "a[href$=heat]");
  expect((await page.$$(".heats img")).length === 3, "a mistake's heat is not the image, what it was taken for and what it is");
  await checked(page);
  await page.goto(mistake, { waitUntil: "load" });
  await follow(page, "a[href$=neighbours]");
  expect((await page.$$(".examples a")).length > 5, "few images alike");
  await checked(page);

  await follow(page, "nav a[href='/confusion']");
  await checked(page);
  await follow(page, ".matrix td.wrong a");
  expect((await page.$$(".examples a")).length > 0, "a number of the matrix leads to no image");
  await page.goto(base + "/confusion", { waitUntil: "load" });
  await follow(page, ".matrix tbody th a");
  await checked(page);
  await page.close();
}

// early comes while predictions are read, which are so many that this takes a while: a page that needs them says so and
// comes by itself, one that does not says when they are there.
async function early(browser, dataset, dir) {
  const rows = ["path,label,pred_label_1,pred_prob_1"], file = join(dir, "many.csv"), classes = join(dir, "many.txt");
  for (let i = 0; i < 2e6; i++) rows.push(`image-${i}.jpg,${i % 10},${i % 9},0.5`);
  writeFileSync(file, rows.join("\n") + "\n");
  writeFileSync(classes, "abcdefghij".split("").join("\n") + "\n");
  const { child, base } = await serve(dataset, file, "--classes", classes);
  try {
    const [waits, other] = [await watched(browser, base), await watched(browser, base)];
    waits.removeAllListeners("console"); // which tells of the 503
    await Promise.all([waits.goto(base + "/mistakes", { waitUntil: "load" }), other.goto(base + "/", { waitUntil: "load" })]);
    if ((await text(waits, "h1")) !== "Not yet") waits.fault("it does not say that predictions are not there yet");
    if (!(await other.$(".reading progress"))) other.fault("it does not say that predictions are being read");
    await Promise.all([checked(waits), checked(other)]);
    await waits.waitForFunction(() => document.querySelector("h1")?.textContent === "Mistakes" && !document.querySelector(".reading"));
    await other.bringToFront();
    await other.waitForSelector(".reading a");
    await follow(other, ".reading a");
    if (!(await other.$("main a[href='/mistakes']"))) other.fault("predictions are there, and it shows none");
    await Promise.all([waits.close(), other.close()]);
  } finally {
    child.kill("SIGTERM");
  }
}

// onPaper looks whether anything of a page is cut off on A4, of which 186 mm are 703 px, or is of no use there.
async function onPaper(page) {
  await page.emulateMediaType("print");
  await page.setViewport({ width: 703, height: 1000 });
  const seen = await page.evaluate(() => ({
    cut: [...document.querySelectorAll("main *")].filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(".unseen")).map((e) => e.outerHTML.slice(0, 80)),
    controls: [...document.querySelectorAll("form, button")].filter((e) => e.getClientRects().length).length }));
  if (seen.cut.length) page.fault(`on paper ${seen.cut[0]} is cut off`);
  if (seen.controls) page.fault(`on paper there are ${seen.controls} buttons and forms`);
}

// looks goes through kinds of pages as others see them.
async function looks(browser, base) {
  const kinds = ["/", "/synset/n00001740", "/search?q=fruit", "/image/val/0", "/mistakes", "/confusion", "/image/val/0/neighbours", "/image/val/0/heat"];
  const paper = await watched(browser, base);
  for (const path of kinds) {
    await paper.goto(base + path, { waitUntil: "load" });
    await onPaper(paper);
  }
  await paper.close();
  for (const how of [{ scheme: "dark" }, { width: 400 }, { script: false }]) {
    const page = await watched(browser, base, how);
    for (const path of kinds) {
      await page.goto(base + path, { waitUntil: "load" });
      await page.setJavaScriptEnabled(true); // for axe, and to look
      await (how.script === false ? settled(page) : checked(page));
      if (how.script === false) await page.setJavaScriptEnabled(false);
    }
    if (how.script === false) {
      await page.goto(base + "/", { waitUntil: "load" });
      await follow(page, ".tree a");
    }
    await page.close();
  }
}

async function shoot(browser, base, dir) {
  const page = await watched(browser, base, { width: 1000 });
  for (const [name, path, height] of [["synset", "/synset/n00017222", 0], ["mistakes", "/mistakes", 1180], ["confusion", "/confusion", 560]]) {
    await page.setViewport({ width: 1000, height: height || 900 });
    await page.goto(base + (name === "synset" ? "/synset/n13134947" : path), { waitUntil: "load" });
    await settled(page);
    if (name === "mistakes") { // as far as the first row of images, whole
      const end = await page.$$eval(".examples li", (l) => Math.max(...l.slice(0, 6).map((e) => e.getBoundingClientRect().bottom)) + scrollY);
      await page.setViewport({ width: 1000, height: Math.ceil(end) + 6 });
    }
    await page.screenshot({ path: join(dir, `serve-${name}.webp`), type: "webp", quality: 80 });
  }
  await page.goto(base + "/mistakes", { waitUntil: "load" });
  await follow(page, ".examples a");
  await page.goto(page.url() + "/heat", { waitUntil: "load" });
  await page.setViewport({ width: 1000, height: 560 });
  await settled(page);
  await page.screenshot({ path: join(dir, "serve-heat.webp"), type: "webp", quality: 80 });
  await page.close();
}

// break out: every page that names lead to, none of which may do anything.
async function hostile(browser, base) {
  const page = await watched(browser, base);
  const seen = new Set(["/", "/search?q=%3Cscript%3Ealert(8)%3C/script%3E", "/confusion", "/mistakes", "/synset/%22%3E%3Cscript%3Ealert(9)%3C/script%3E"]), queue = [...seen];
  const missing = /^\/synset\/%22/;
  page.removeAllListeners("console");
  page.on("console", (m) => { if (!missing.test(new URL(page.url()).pathname) && !/\/original$/.test(m.location().url ?? "")) page.fault(`console: ${m.text()}`); });
  while (queue.length) {
    const path = queue.shift();
    if (path.endsWith("/original")) {
      await page.goto(base + path).catch(() => {}); // what is no image is a download
      continue;
    }
    await page.goto(base + path, { waitUntil: "load" });
    await settled(page);
    for (const to of await page.$$eval("a[href]", (l) => l.map((a) => a.getAttribute("href")))) {
      const u = new URL(to, base);
      if (u.origin !== base) { page.fault(`it leads to ${to}`); continue; }
      if (seen.has(u.pathname + u.search)) continue;
      seen.add(u.pathname + u.search);
      queue.push(u.pathname + u.search);
    }
  }
  if (seen.size < 40) page.fault(`only ${seen.size} pages were found`);
  await page.goto(base + "/", { waitUntil: "load" });
  await checked(page);
  await page.close();
}

const browser = await puppeteer.launch({ executablePath: chromium, timeout: never, protocolTimeout: never, args: ["--no-sandbox", "--disable-gpu", "--force-color-profile=srgb"] });
let child;
try {
  let base;
  if (rest[0] === "--hostile") {
    ({ child, base } = await serve(rest[1], rest[2], "--classes", rest[3]));
    await there(base);
    await hostile(browser, base);
  } else {
    ({ child, base } = await serve(rest[0], rest[1], "--heat", rest[2]));
    await there(base);
    await walk(browser, base);
    await looks(browser, base);
    await shoot(browser, base, rest[3]);
    await early(browser, rest[0], rest[4]);
  }
} catch (e) {
  faults.push(e.stack);
} finally {
  await browser.close();
  child?.kill("SIGTERM");
}
for (const f of faults) console.error(`serve.mjs: ${f}`);
process.exit(faults.length ? 1 : 0);
