// Debian's Chromium, for the picture of the page. It reads the page from memory; nothing is fetched.
import { existsSync } from 'node:fs';
import type { Browser } from 'playwright-core';
import { UsageError } from '../place.js';

const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

/** As root there is no sandbox; the rest keeps it from looking for the network. */
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** Where it is; throws UsageError when it is not installed. */
export function findBrowser(): string {
  const found = PLACES.find(path => existsSync(path));
  if (found === undefined) throw new UsageError('--picture needs a browser: apt-get install chromium');
  return found;
}

export async function startBrowser(): Promise<Browser> {
  const { chromium } = await import('playwright-core');
  return chromium.launch({ executablePath: findBrowser(), args: FLAGS });
}

/** What the picture leaves out of the page: all but the names, the first charts of ratios and the first two curves. */
const LEFT_OUT = `h1, h2, h3, nav, .scroll, .gaps, .note, #machine, section ~ section, .charts > figure:nth-of-type(n + 5),
  .curves > figure:nth-of-type(n + 3) { display: none }
  main { padding: 1rem } .curves { grid-template-columns: 1fr 1fr }
  .key { display: flex; flex-wrap: wrap; margin-top: 1rem } .key span { font-size: 0 } .key b { font-size: 0.86rem }`;
const WIDTH = 700;

/** Writes a PNG of the first charts of the page's first section, as on a light screen. */
export async function takePicture(html: string, path: string): Promise<void> {
  const browser = await startBrowser();
  try {
    const page = await browser.newPage({ colorScheme: 'light', viewport: { width: WIDTH, height: 1200 } });
    await page.setContent(html);
    await page.addStyleTag({ content: LEFT_OUT });
    await page.waitForFunction(
      '[...document.querySelectorAll("figure")].every(f => f.offsetWidth === 0 || f.querySelector("svg"))',
    );
    await page.screenshot({ path, fullPage: true });
  } finally {
    await browser.close();
  }
}
