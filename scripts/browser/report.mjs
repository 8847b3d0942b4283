// Opens a report, or a page of a network, in Chromium and holds it to what it promises: no message on the console, no request beside the file,
// no script run, an image in every frame, nothing serious that axe finds, in the light and in the dark, wide and narrow.
// The screenshot is of the worst synsets.
//   node report.mjs CHROMIUM REPORT.html SCREENSHOT.png
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { createRequire } from "node:module";
import puppeteer from "puppeteer-core";

const [chromium, report, screenshot] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const never = 5 * 60e3; // what has not come by then, on however busy a machine, does not come
const browser = await puppeteer.launch({ executablePath: chromium, timeout: never, protocolTimeout: never, args: ["--no-sandbox", "--disable-gpu", "--force-color-profile=srgb"] });
const faults = [];
try {
  for (const scheme of ["light", "dark"]) {
    for (const width of [1100, 400]) {
      const page = await browser.newPage();
      page.setDefaultTimeout(never);
      const where = `${scheme}, ${width} px`;
      page.on("console", (m) => faults.push(`${where}: console: ${m.text()}`));
      page.on("pageerror", (e) => faults.push(`${where}: ${e.message}`));
      page.on("dialog", (d) => { faults.push(`${where}: a dialog says ${d.message()}`); d.dismiss(); });
      page.on("request", (r) => { if (!r.url().startsWith("data:") && !r.url().endsWith(".html")) faults.push(`${where}: it asks for ${r.url()}`); });
      await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
      await page.setViewport({ width, height: 1400 });
      await page.goto(pathToFileURL(report).href, { waitUntil: "load" });
      const seen = await page.evaluate(async () => {
        for (const d of document.querySelectorAll("details")) d.open = true;
        const images = [...document.images];
        for (const i of images) i.loading = "eager";
        await Promise.all(images.map((i) => i.decode().catch(() => {})));
        return { images: images.length, broken: images.filter((i) => !i.naturalWidth).length, scripts: document.scripts.length,
          charts: document.querySelectorAll("svg.chart").length, report: !!document.querySelector("#run, #predictions"), wanted: (document.querySelector("#run") ? 4 : 0) + (document.querySelector("#predictions") ? 2 : 0), wide: document.documentElement.scrollWidth - innerWidth };
      });
      if ((seen.report && !seen.images) || seen.broken) faults.push(`${where}: ${seen.images} images, ${seen.broken} of them broken`);
      if (seen.charts < seen.wanted) faults.push(`${where}: ${seen.charts} charts`);
      if (seen.scripts) faults.push(`${where}: ${seen.scripts} scripts`);
      if (seen.wide > 0) faults.push(`${where}: the page is ${seen.wide} px wider than the window`);
      if (scheme === "light" && width === 1100) {
        const y = await page.evaluate(() => (document.querySelector("#worst") ?? document.body).getBoundingClientRect().top + scrollY);
        await page.screenshot({ path: screenshot, captureBeyondViewport: true, clip: { x: 0, y, width, height: 900 } });
      }
      await page.setBypassCSP(true); // for axe alone
      await page.evaluate(axe);
      const found = await page.evaluate(() => axe.run(document));
      for (const v of found.violations) faults.push(`${where}: axe: ${v.impact}: ${v.id}: ${v.help}: ${v.nodes[0].html.slice(0, 120)}`);
      await page.close();
    }
  }
} finally {
  await browser.close();
}
for (const f of faults) console.error(`report.mjs: ${f}`);
process.exit(faults.length ? 1 : 0);
