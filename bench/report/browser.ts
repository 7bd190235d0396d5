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

/** Writes a PNG of the key and the charts of the page's first section, as on a light screen. */
export async function takePicture(html: string, path: string): Promise<void> {
  const browser = await startBrowser();
  try {
    const page = await browser.newPage({ colorScheme: 'light', viewport: { width: 860, height: 1200 } });
    await page.setContent(html);
    await page.waitForSelector('figure svg');
    await page.addStyleTag({
      content: 'h3, .scroll, .gaps, nav, #machine, section ~ section { display: none }',
    });
    await page.screenshot({ path, fullPage: true });
  } finally {
    await browser.close();
  }
}
