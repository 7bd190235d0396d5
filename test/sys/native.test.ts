// The loading of the addon: what a person is told when it is missing or of another version.
import { writeFileSync } from 'node:fs';
import t from 'tap';
import { needs } from '../support/needs.js';
import { scratch } from './scratch.js';

needs('mount', 'setfattr', 'fusermount3');

async function load(file: string, attempt: string): Promise<unknown> {
  const before = process.env.LAMINA_ADDON;
  process.env.LAMINA_ADDON = file;
  try {
    return await import(new URL(`../../src/sys/native.ts?${attempt}`, import.meta.url).href);
  } finally {
    if (before === undefined) delete process.env.LAMINA_ADDON;
    else process.env.LAMINA_ADDON = before;
  }
}

t.test('an addon that is not there', async t => {
  await t.rejects(load('/nonexistent/lamina.node', 'missing'), {
    message: "cannot load the addon /nonexistent/lamina.node; run 'npm install' to build it",
    cause: { code: 'MODULE_NOT_FOUND' },
  });
});

t.test('an addon of another version', async t => {
  const file = `${scratch(t).path}/other.cjs`;
  writeFileSync(file, "module.exports = { statSlots: ['ino'] };");
  await t.rejects(load(file, 'other'), {
    message: /is of another version than this code; run 'npm install'/,
  });
});
