// The results as one HTML file that needs no network: the figures as JSON, the chart library (Observable Plot, which draws SVG that
// takes its colours from the style sheet, on D3), and two scripts that draw. Without scripts there are still the tables.
import { readFileSync } from 'node:fs';
import type { Results, SuiteResults } from '../results.js';
import { TOP } from '../shell.js';
import { htmlOf, tablesOf } from './tables.js';

/** What is put into the page as it is; where npm has put it, and where it is in the repository. */
const LIBRARIES = ['node_modules/d3/dist/d3.min.js', 'node_modules/@observablehq/plot/dist/plot.umd.min.js'];
const SCRIPTS = ['bench/report/charts.js', 'bench/report/draw.js'];
const STYLE = 'bench/report/page.css';

const read = (path: string): string => readFileSync(`${TOP}/${path}`, 'utf8');

/** Text that stands in a script element: nothing in it may look like the element's end. */
const inScript = (text: string): string => text.replaceAll('</', '<\\/').replaceAll('<!--', '<\\!--');

function machineBlock({ machine }: Results): string {
  const rows = Object.entries(machine).map(
    ([name, words]) => `<dt>${htmlOf(name)}</dt><dd>${htmlOf(words)}</dd>`,
  );
  return `<dl class="machine">${rows.join('')}</dl>`;
}

function missingLine({ missing }: SuiteResults): string {
  const parts = Object.entries(missing).map(
    ([name, install]) => `${htmlOf(name)} (<code>${htmlOf(install)}</code>)`,
  );
  return parts.length === 0
    ? ''
    : `<p class="note">Not on this machine, so left out: ${parts.join(', ')}.</p>`;
}

function section(suite: SuiteResults): string {
  const keys = suite.subjects.map(
    ({ name, about }) =>
      `<li data-subject="${htmlOf(name)}"><span><b>${htmlOf(name)}</b> ${htmlOf(about)}</span></li>`,
  );
  return `<section id="${htmlOf(suite.name)}" data-suite="${htmlOf(suite.name)}">
<h2>${htmlOf(suite.title)}</h2>
<ul class="key">${keys.join('')}</ul>
${missingLine(suite)}
<div class="charts"></div>
<h3>All figures</h3>
${tablesOf(suite)}
</section>`;
}

function lead(results: Results): string {
  const trials = results.trials === 1 ? 'one trial each' : `medians of ${results.trials} trials`;
  const quick = results.quick ? ', small trees (--quick)' : '';
  return `Measured on ${results.taken.slice(0, 10)}, ${trials}${quick}, each in a fresh process on a fresh mount and a fresh file system,
subjects interleaved. Ratios are of elapsed time to kernel overlayfs, or to what a chart names: 2 takes twice as long.`;
}

/** The whole page. */
export function pageOf(results: Results): string {
  const scripts = [...LIBRARIES, ...SCRIPTS].map(path => `<script>${inScript(read(path))}</script>`);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>laminafs: figures of ${htmlOf(results.taken.slice(0, 10))}</title>
<link rel="icon" href="data:,">
<style>${read(STYLE)}</style>
</head>
<body>
<main>
<header>
<h1>laminafs, measured</h1>
<p>${lead(results)}</p>
<nav>${results.suites.map(({ name, title }) => `<a href="#${htmlOf(name)}">${htmlOf(title)}</a>`).join('')}<a href="#machine">Machine</a></nav>
</header>
${results.suites.map(section).join('\n')}
<section id="machine">
<h2>Machine and versions</h2>
${machineBlock(results)}
</section>
</main>
<script type="application/json" id="results">${inScript(JSON.stringify(results))}</script>
${scripts.join('\n')}
</body>
</html>
`;
}
