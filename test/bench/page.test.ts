// The page of results in a real browser: everything is drawn, nothing is fetched, and it can be read on a phone and on a desk, in
// light and in dark.
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import t from 'tap';
import { startBrowser, takePicture } from '../../bench/report/browser.js';
import { pageOf } from '../../bench/report/page.js';
import { needs } from '../support/needs.js';
import { RESULTS } from './results.js';

needs('chromium');

const ROWS = RESULTS.suites.flatMap(suite => suite.rows);
const HTML = pageOf(RESULTS);

let browser: Browser;
t.before(async () => {
  browser = await startBrowser();
});
t.teardown(() => browser.close());

/** What a page said and fetched while it was drawn. */
interface Opened {
  readonly page: Page;
  readonly complaints: string[];
}

async function open(width: number, colorScheme: 'light' | 'dark', javaScriptEnabled = true): Promise<Opened> {
  const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme, javaScriptEnabled });
  const complaints: string[] = [];
  page.on('console', message => complaints.push(message.text()));
  page.on('pageerror', error => complaints.push(error.message));
  page.on('request', request => {
    if (!request.url().startsWith('data:')) complaints.push(`fetches ${request.url()}`);
  });
  await page.setContent(HTML);
  if (javaScriptEnabled)
    await page.waitForFunction('[...document.querySelectorAll("figure")].every(f => f.querySelector("svg"))');
  return { page, complaints };
}

/** The labels of all marks of dots. */
const marks = (page: Page): Promise<string[]> =>
  page
    .locator('g[aria-label="dot"] > [aria-label]')
    .evaluateAll(all => all.map(one => one.getAttribute('aria-label') ?? ''));

/**
 * Texts whose contrast to the paper is less than WCAG's AA asks for (4.5), and texts of charts that are not wholly in theirs or lie
 * on each other. As a
 * string: it runs in the page, whose types are not those of the tests.
 */
const UNREADABLE = `(() => {
  const channels = color => color.match(/[\\d.]+/g).slice(0, 3).map(Number);
  const luminance = color => {
    const [r, g, b] = channels(color).map(value => value / 255).map(v => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const paper = luminance(getComputedStyle(document.documentElement).backgroundColor);
  const found = [];
  const texts = [];
  for (const element of document.querySelectorAll('body *')) {
    const text = [...element.childNodes].filter(node => node.nodeType === 3).map(node => node.data.trim()).join('');
    if (text === '' || element.closest('script, style')) continue;
    const style = getComputedStyle(element);
    const ink = luminance(element.ownerSVGElement ? style.fill : style.color);
    const contrast = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    if (contrast < 4.5) found.push(text + ': contrast ' + contrast.toFixed(2));
    const box = element.getBoundingClientRect();
    const frame = element.closest('figure')?.getBoundingClientRect();
    if (element.ownerSVGElement && (box.left < frame.left || box.right > frame.right)) found.push(text + ': cut off');
    if (element.ownerSVGElement) texts.push([text, box]);
  }
  for (const [i, [text, box]] of texts.entries())
    for (const [other, { left, right, top, bottom }] of texts.slice(i + 1))
      if (box.left < right && left < box.right && box.top + 2 < bottom && top + 2 < box.bottom) found.push(text + ': on ' + other);
  return found;
})()`;

for (const colorScheme of ['light', 'dark'] as const) {
  for (const width of [380, 1200]) {
    t.test(`${colorScheme}, ${width} pixels wide`, async t => {
      const { page, complaints } = await open(width, colorScheme);
      t.same(complaints, [], 'nothing is fetched, nothing fails');
      t.equal(await page.evaluate('document.documentElement.scrollWidth'), width, 'no overflow');
      t.same(await page.evaluate(UNREADABLE), [], 'every text can be read');
      const drawn = await marks(page);
      for (const { name, figures } of ROWS) {
        for (const subject of Object.keys(figures))
          t.ok(
            drawn.some(label => label.startsWith(`${name}, ${subject}: `)),
            `${name}, ${subject}`,
          );
      }
      t.ok(drawn.includes('walk, cold, lamina: 1.5×, 120 ms'), 'with its ratio and its figure');
      t.notOk(
        drawn.some(label => label.startsWith('rm -rf lower, mergerfs')),
        'a gap is no mark',
      );
      t.equal(await page.locator('figure').count(), 6, 'five groups and a curve');
      await page.close();
    });
  }
}

t.test('the schemes differ', async t => {
  const paper = async (scheme: 'light' | 'dark') => {
    const { page } = await open(800, scheme);
    const color = await page.evaluate('getComputedStyle(document.documentElement).backgroundColor');
    await page.close();
    return color;
  };
  t.not(await paper('light'), await paper('dark'));
});

t.test('charts follow the width of the window', async t => {
  const { page } = await open(1200, 'light');
  const width = () => page.evaluate('Number(document.querySelector("figure svg").getAttribute("width"))');
  const before = await width();
  await page.setViewportSize({ width: 380, height: 900 });
  await page.waitForFunction('document.querySelector("figure svg").getAttribute("width") < 400');
  t.ok(Number(before) > 800);
  await page.close();
});

t.test('without scripts the tables have every figure and every gap', async t => {
  const { page } = await open(1200, 'light', false);
  const text = (await page.locator('main').textContent()) ?? '';
  for (const { name, about } of ROWS) t.ok(text.includes(name) && text.includes(about), name);
  for (const words of [
    'it has no whiteouts',
    'EIO',
    'apt-get install another-fs',
    'Reading <b>&\'"</b>',
    '</script><script>',
  ])
    t.ok(text.includes(words), words);
  t.equal(await page.locator('table').count(), 5);
  await page.close();
});

t.test('the picture is a small PNG', async t => {
  const dir = mkdtempSync('/tmp/lamina-picture-');
  t.teardown(() => rmSync(dir, { recursive: true }));
  await takePicture(HTML, join(dir, 'page.png'));
  const { size } = statSync(join(dir, 'page.png'));
  t.ok(size > 10_000 && size < 200_000, `${size} bytes`);
});
