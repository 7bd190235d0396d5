// differences.md is the list: it names no row that is gone or that differs no more. (That it names every row which differs
// is checked where the rows run, in oracle-contract.ts.)
import { readdirSync, readFileSync } from 'node:fs';
import t from 'tap';

const folder = new URL('.', import.meta.url);
const text = readFileSync(new URL('differences.md', folder), 'utf8');
// Every second part is between back quotes; paths are not rows.
const named = text.split('`').filter((part, i) => i % 2 === 1 && !part.includes('/'));
const tables = readdirSync(folder)
  .filter(name => name.endsWith('.test.ts'))
  .map(name => readFileSync(new URL(name, folder), 'utf8'))
  .join('\n');

t.ok(named.length > 5, 'there are names in the list');
for (const name of named) {
  const at = tables.indexOf(`name: '${name}'`);
  t.ok(at >= 0, `${name}: there is such a row`);
  const end = tables.indexOf("name: '", at + 7);
  t.ok(tables.slice(at, end < 0 ? undefined : end).includes('differs: {'), `${name}: it differs`);
}
