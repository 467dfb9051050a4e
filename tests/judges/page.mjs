// page.mjs - open report pages in a browser and look for layout errors.
//
//   node page.mjs CHROMIUM MODULES FILE...
//
// Each page at desk and phone width, light and dark, as it comes and with all
// details open: nothing wider than the window, no text cut off or lying on
// other text, contrast of 4.5:1, a title and a description in every picture.
// Prints one line per fault; exits 1 when there was one.
import { createRequire } from 'node:module';
import { resolve } from 'node:path';

const [browserPath, modules, ...files] = process.argv.slice(2);
const require = createRequire(resolve(modules, 'x.js'));
const { chromium } = require('playwright-core');

// Runs in the page.
function faults() {
  const found = [];
  const say = (text, e) => found.push(`${text}: <${e.tagName.toLowerCase()
  } class="${e.getAttribute('class') ?? ''}"> ${e.textContent.trim()
    .slice(0, 60)}`);
  const shown = (e) => e.checkVisibility?.({ checkOpacity: true }) ?? true;
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > width)
    found.push(`the page is ${document.documentElement.scrollWidth} wide`);

  // Every run of text, by its own boxes.
  const boxes = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walk.nextNode());) {
    const e = node.parentElement;
    if (!node.data.trim() || e.closest('script,style,title,desc,thead') ||
        !shown(e))
      continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const r of range.getClientRects()) {
      if (r.width < 1 || r.height < 1)
        continue;
      if (r.left < -1 || r.right > width + 1)
        say('outside the window', e);
      boxes.push({ r, e, node });
    }
    for (let p = e; p && p !== document.body; p = p.parentElement) {
      const style = getComputedStyle(p);
      if (style.overflowX !== 'visible' && p.scrollWidth > p.clientWidth + 1 &&
          !(p instanceof SVGElement))
        say('cut off', p);
    }
  }
  boxes.sort((a, b) => a.r.top - b.r.top);
  for (let i = 0; i < boxes.length; i++)
    for (let k = i + 1; k < boxes.length; k++) {
      const a = boxes[i].r, b = boxes[k].r;
      if (b.top >= a.bottom)
        break;
      const x = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const y = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      // Lines of one paragraph touch by their leading.
      if (x > 2 && y > Math.min(a.height, b.height) * 0.45 &&
          boxes[i].node !== boxes[k].node)
        say(`lies on "${boxes[k].e.textContent.trim().slice(0, 30)}"`,
          boxes[i].e);
    }

  // A drawing's text stays in the drawing.
  for (const svg of document.querySelectorAll('svg')) {
    if (!shown(svg))
      continue;
    const outer = svg.getBoundingClientRect();
    const title = svg.querySelector(':scope > title');
    const desc = svg.querySelector(':scope > desc');
    if (!title?.textContent.trim() || !desc?.textContent.trim())
      say('no label', svg);
    for (const text of svg.querySelectorAll('text')) {
      const r = text.getBoundingClientRect();
      if (r.left < outer.left || r.right > outer.right + 0.5 ||
          r.bottom > outer.bottom + 0.5)
        say('leaves its picture', text);
    }
  }

  const channel = (c) => (c /= 255) <= 0.04045 ? c / 12.92
    : ((c + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) =>
    0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const parse = (c) => c.match(/[\d.]+/g).map(Number);
  for (const { e } of boxes) {
    if (e instanceof SVGElement)
      continue;
    const ink = parse(getComputedStyle(e).color);
    let ground;
    for (let p = e; p && !ground; p = p.parentElement) {
      const c = parse(getComputedStyle(p).backgroundColor);
      if (c.length < 4 || c[3] > 0.99)
        ground = c;
    }
    const [x, y] = [light(ink), light(ground ?? [255, 255, 255])];
    const ratio = (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
    if (ratio < 4.5)
      say(`contrast ${ratio.toFixed(2)}`, e);
  }
  return [...new Set(found)].slice(0, 10);
}

const browser = await chromium.launch({ executablePath: browserPath,
  args: ['--no-sandbox', '--disable-gpu'] });
let bad = 0;
for (const file of files)
  for (const [width, colorScheme] of [[1280, 'light'], [390, 'dark'],
    [390, 'light'], [1280, 'dark']]) {
    const context = await browser.newContext({ colorScheme,
      viewport: { width, height: 900 } });
    const page = await context.newPage();
    const asked = [];
    page.on('request', (r) => asked.push(r.url()));
    page.on('pageerror', (e) => { bad++; console.log(`${file}: ${e}`); });
    await page.goto(`file://${resolve(file)}`);
    for (const open of [false, true]) {
      if (open)
        await page.evaluate(() => document.querySelectorAll('details')
          .forEach((d) => { d.open = true; }));
      for (const fault of await page.evaluate(faults)) {
        bad++;
        console.log(`${file} at ${width} ${colorScheme}: ${fault}`);
      }
    }
    for (const url of asked.slice(1)) {
      bad++;
      console.log(`${file}: asks for ${url}`);
    }
    await context.close();
  }
await browser.close();
process.exit(bad ? 1 : 0);
