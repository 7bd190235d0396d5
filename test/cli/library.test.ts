// `import { mount } from 'laminafs'`: the package as a user has it. This process serves the mounts, so it looks at them with
// asynchronous calls only.
import { readdirSync, readFileSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import type * as laminafs from '../../src/index.js';
import { needs } from '../support/needs.js';
import { Place } from './run.js';

needs('mount', 'setfattr', 'fusermount3');

const name = 'laminafs';
const { mount, OptionError } = (await import(name)) as typeof laminafs;

function place(t: { teardown(task: () => void): unknown }): Place {
  const place = new Place();
  t.teardown(() => place.remove());
  return place;
}

t.test('options as an object', async t => {
  const p = place(t);
  const options = {
    lowerdir: [p.top, p.bottom],
    upperdir: p.upper,
    workdir: p.work,
    xino: 'on',
    uuid: 'on',
  };
  const mounted = await mount(options, p.mnt);
  t.match(mounted, { mountpoint: p.mnt, protocolMinor: Number, notes: [/^uuid: /] });
  t.equal(await readFile(join(p.mnt, 'both'), 'utf8'), 'top');
  await writeFile(join(p.mnt, 'low'), 'changed');
  await mounted.unmount();
  await mounted.closed;
  t.equal(p.mounted(), null);
  t.equal(readFileSync(join(p.upper, 'low'), 'utf8'), 'changed');
  t.equal(readFileSync(join(p.bottom, 'low'), 'utf8'), 'low');
});

t.test('options as a string, twice in one process', async t => {
  const [a, b] = [place(t), place(t)];
  const [one, two] = await Promise.all([mount(a.options, a.mnt), mount(`lowerdir=${b.bottom}`, b.mnt)]);
  t.same(await Promise.all([readFile(join(a.mnt, 'both'), 'utf8'), readFile(join(b.mnt, 'both'), 'utf8')]), [
    'top',
    'bottom',
  ]);
  await t.rejects(writeFile(join(b.mnt, 'new'), 'x'), { code: 'EROFS' });
  await Promise.all([one.unmount(), two.unmount()]);
  await Promise.all([one.closed, two.closed]);
});

t.test('the same upper again, in one process', async t => {
  const p = place(t);
  for (const text of ['one', 'two']) {
    const mounted = await mount(p.options, p.mnt);
    await writeFile(join(p.mnt, text), text);
    await mounted.unmount();
    await mounted.closed;
  }
  t.same(readdirSync(p.upper).sort(), ['one', 'two']);
});

t.test('in use', async t => {
  const p = place(t);
  const mounted = await mount(p.options, p.mnt);
  const { open } = await import('node:fs/promises');
  const file = await open(join(p.mnt, 'new'), 'w');
  await t.rejects(mounted.unmount(), { name: 'SysError', code: 'EBUSY' });
  await mounted.unmount({ lazy: true });
  t.equal(p.mounted(), null);
  await file.writeFile('kept');
  await file.close();
  await mounted.closed;
  t.equal(readFileSync(join(p.upper, 'new'), 'utf8'), 'kept');
});

t.test('errors reject, and leave nothing open', async t => {
  const p = place(t);
  const descriptors = (): number => readdirSync('/proc/self/fd').length;
  const before = descriptors();
  // Each failure would leave some; threads of the mounts before may open or close one of their own meanwhile.
  for (let round = 0; round < 10; round++) {
    await t.rejects(mount('lowerdri=/x', p.mnt), OptionError);
    await t.rejects(mount({ lowerdir: [join(p.base, 'none')] }, p.mnt), { message: /none does not exist/ });
    await t.rejects(mount(p.options, join(p.base, 'none')), { name: 'SysError', code: 'ENOENT' });
    await t.rejects(mount(`${p.options},subtype=x,fsname=y,context="no:such:label"`, p.mnt));
  }
  t.equal(p.mounted(), null);
  t.ok(descriptors() < before + 10, 'no descriptor is left');
});

t.test('what happens is told', async t => {
  const p = place(t);
  const lines: string[] = [];
  const mounted = await mount(`${p.options},debug`, p.mnt, { trace: line => lines.push(line) });
  await readFile(join(p.mnt, 'low'));
  await mounted.unmount();
  await mounted.closed;
  t.ok(lines.some(line => /LOOKUP/i.test(line)));
});
