// Every figure of a suite as tables of HTML, one for each group of workloads; they say what the charts show, and what has no figure.
import {
  baseOf,
  median,
  plainNumber,
  type Row,
  ratioOf,
  ratioText,
  type SuiteResults,
  spread,
} from '../results.js';

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

export const htmlOf = (text: string): string => text.replace(/[&<>"']/g, sign => ENTITIES[sign]!);

function cell(row: Row, name: string): string {
  const mine = row.figures[name];
  if (!mine?.length) {
    const failure = row.failures[name];
    const why = row.gaps[name] ?? failure ?? 'not measured';
    return `<td class="none" title="${htmlOf(why)}"><abbr title="${htmlOf(why)}">${failure === undefined ? '–' : 'failed'}</abbr></td>`;
  }
  const noise = mine.length > 1 ? [`±${spread(mine).toFixed(0)} %`] : [];
  const ratio = name === baseOf(row) ? undefined : ratioOf(row, name);
  const times = ratio === undefined ? [] : [`<b>${ratioText(ratio)}</b>`];
  return `<td>${plainNumber(median(mine))}<small>${[...noise, ...times].join(' ')}</small></td>`;
}

/** Why some of a group's rows have no figure for some subject, one line for each reason. */
function reasons(rows: readonly Row[]): string {
  const found = new Map<string, Set<string>>();
  for (const row of rows) {
    for (const [subject, why] of [...Object.entries(row.gaps), ...Object.entries(row.failures)]) {
      const text = `${htmlOf(subject)}: ${htmlOf(why)}`;
      found.set(text, (found.get(text) ?? new Set()).add(row.name));
    }
  }
  if (found.size === 0) return '';
  const lines = [...found].map(([text, names]) => {
    const which = names.size === rows.length ? '' : ` <small>(${[...names].map(htmlOf).join('; ')})</small>`;
    return `<li>${text}${which}</li>`;
  });
  return `<ul class="gaps">${lines.join('')}</ul>`;
}

function table(group: string, rows: readonly Row[], suite: SuiteResults): string {
  const names = suite.subjects.map(({ name }) => name);
  const head = names.map(name => `<th scope="col">${htmlOf(name)}</th>`).join('');
  const body = rows.map(
    row =>
      `<tr><th scope="row">${htmlOf(row.name)}<small>${htmlOf(row.about)}</small></th><td>${row.unit}</td>${names.map(name => cell(row, name)).join('')}</tr>`,
  );
  return `<div class="scroll" tabindex="0" role="region" aria-label="${htmlOf(group)}: figures">
<table><caption>${htmlOf(group)}</caption><thead><tr><th scope="col">workload</th><th scope="col">unit</th>${head}</tr></thead>
<tbody>${body.join('\n')}</tbody></table></div>${reasons(rows)}`;
}

/** The rows by their groups, in order. */
export function groupsOf(suite: SuiteResults): Map<string, Row[]> {
  const groups = new Map<string, Row[]>();
  for (const row of suite.rows) groups.set(row.group, [...(groups.get(row.group) ?? []), row]);
  return groups;
}

export function tablesOf(suite: SuiteResults): string {
  return [...groupsOf(suite)].map(([group, rows]) => table(group, rows, suite)).join('\n');
}
