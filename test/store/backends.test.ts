// What a store promises of layers, over both backends: made, filled, finished, put on each other, compared, measured,
// found again and removed.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { E } from '../../src/base/index.js';
import type { BackendName } from '../../src/store/index.js';
import { checkPool } from '../../src/thin/index.js';
import { mountsBelow } from '../support/cleanup.js';
import { needs } from '../support/needs.js';
import {
  changesOf,
  fails,
  fill,
  LOADER,
  look,
  loopsBelow,
  MIB,
  type Site,
  SMALL,
  sh,
  site,
  tarOf,
} from './stage.js';

needs('mount', 'losetup', 'mkfs.ext4', 'e2fsck', 'setfattr', 'rsync');

interface Row {
  readonly name: string;
  readonly only?: BackendName;
  run(t: Test, site: Site, backend: BackendName): Promise<void>;
}

const CHILD = fileURLToPath(new URL('./store-child.ts', import.meta.url));

/** Everything that can be told of files, and of their names. */
const TREE =
  "find . -mindepth 1 -printf '%P %y %m %U %G %n %l %T@\\n' | sort; find . -type f -exec sha256sum {} + | sort";

const RICH = `echo data >f; mkdir -p d/e; echo deep >d/e/g; ln f d/hard; ln -s ../f d/sym; mkfifo pipe; mknod null c 1 3
  setfattr -n user.note -v yes f; setfattr -n trusted.mine -v 1 d; chmod 4711 d/e/g; chown 1000:2000 d/e; mkdir -m 1777 tmp
  head -c 300000 /dev/urandom >big; truncate -s 5M sparse; find . -exec touch -h -d '2020-01-02 03:04:05.123456789' {} +`;

const CHANGE = `echo more >>f; rm d/e/g; rmdir d/e; mkdir d/e2; echo x >d/e2/new; chmod 700 tmp; rm pipe; echo now >pipe
  mv big d/moved; setfattr -n user.note -v no d/sym 2>/dev/null || true; find . -exec touch -h -d '2021-02-03' {} +; touch -d '2020-01-02 03:04:05.123456789' d`;

/** What CHANGE does to RICH. The time alone of `null` and `sparse` is changed too. */
const CHANGED = [
  ...['D big', 'C d', 'D d/e', 'A d/e2', 'A d/e2/new', 'C d/hard', 'A d/moved', 'C d/sym'],
  ...['C f', 'C null', 'C pipe', 'C sparse', 'C tmp'],
];

const ROWS: readonly Row[] = [
  {
    name: 'a layer on a layer',
    async run(t, all) {
      await fill(all, 'low', null, RICH);
      const before = await look(all, 'low', TREE);
      await fill(all, 'top', 'low', CHANGE);
      t.same(await changesOf(all, 'top', 'low'), CHANGED);
      t.equal(await look(all, 'low', TREE), before, 'the lower one is as it was');
      const shown = await look(all, 'top', TREE);
      t.notMatch(shown, /lost\+found/);
      for (const [name, parent] of [
        ['low', null],
        ['top', 'low'],
      ] as const) {
        const tar = await tarOf(all, name, parent);
        await all.layers.prepare({ name: `${name}2`, parent: parent && `${parent}2`, kind: 'active' });
        const { notes } = await all.layers.apply(`${name}2`, [tar]);
        t.same(notes, []);
        t.ok((await tarOf(all, `${name}2`, parent && `${parent}2`)).equals(tar), 'the same tar again');
      }
      t.equal(await look(all, 'top2', TREE), shown, 'applied from tars it is the same tree');
    },
  },
  {
    name: 'changes of a layer that is mounted and being written',
    async run(t, all) {
      await fill(all, 'low', null, 'echo 1 >f; mkdir d');
      await all.layers.prepare({ name: 'top', parent: 'low', kind: 'active' });
      const top = await all.layers.acquire('top');
      await sh(top, 'echo 2 >d/new');
      t.same(await changesOf(all, 'top', 'low'), ['C d', 'A d/new']);
      await sh(top, 'rm f');
      t.same(await changesOf(all, 'top', 'low'), ['D f', 'C d', 'A d/new']);
      t.equal(await sh(top, 'cat d/new'), '2\n', 'it is still mounted');
      await all.layers.release('top');
    },
  },
  {
    name: 'a layer on one that is mounted and was just written',
    async run(t, all) {
      await all.layers.prepare({ name: 'low', parent: null, kind: 'active' });
      const low = await all.layers.acquire('low');
      await sh(low, 'mkdir d; for i in 1 2 3 4 5; do echo $i >d/$i; done');
      await all.layers.prepare({ name: 'top', parent: 'low', kind: 'active' });
      t.equal(await look(all, 'top', 'cat d/*'), '1\n2\n3\n4\n5\n');
      await sh(low, 'echo still writable >after');
      await all.layers.release('low');
    },
  },
  {
    name: 'finished layers and views are not written to',
    async run(t, all) {
      await fill(all, 'work', null, 'echo 1 >f');
      await all.layers.commit('work', 'done');
      await all.layers.prepare({ name: 'view', parent: 'done', kind: 'view' });
      const view = await all.layers.hold('view');
      t.equal(await sh(view, 'cat f'), '1\n');
      if (all.store && view.includes('/mounts/')) await t.rejects(sh(view, 'touch new'), /Read-only/);
      await all.layers.prepare({ name: 'next', parent: 'done', kind: 'active' });
      await sh(await all.layers.hold('next'), 'echo 2 >g');
      t.same(await changesOf(all, 'next', 'done'), ['A g']);
      await fails(t, E.ENOTEMPTY, all.layers.remove('done'), 'a parent');
    },
  },
  {
    name: 'usage is the layer’s own',
    async run(t, all) {
      await fill(all, 'low', null, 'head -c 3000000 /dev/urandom >big; touch 1 2 3');
      await fill(all, 'top', 'low', 'head -c 1000000 /dev/urandom >small; mkdir d');
      const [low, top] = [await all.layers.usage('low'), await all.layers.usage('top')];
      t.ok(low.bytes > 3_000_000 && low.bytes < 6_000_000, `${low.bytes}`);
      t.ok(top.bytes > 1_000_000 && top.bytes < 3_000_000, `${top.bytes}`);
      t.ok(low.inodes >= 4 && low.inodes <= 5, `${low.inodes}`);
      t.ok(top.inodes >= 2 && top.inodes <= 3, `${top.inodes}`);
      const grown = await all.layers.acquire('top');
      await sh(grown, 'head -c 2000000 /dev/urandom >more; sync -f .');
      t.ok((await all.layers.usage('top')).bytes > 3_000_000, 'while it is mounted too');
      await all.layers.release('top');
    },
  },
  {
    name: 'twenty layers deep',
    async run(t, all) {
      let parent: string | null = null;
      for (let i = 0; i < 20; i++) {
        await fill(all, `l${i}`, parent, `echo ${i} >own${i}; echo ${i} >shared; rm -f own${i - 7}`);
        parent = `l${i}`;
      }
      t.equal(await look(all, 'l19', 'cat shared; ls | wc -l'), '19\n8\n');
      t.equal(await look(all, 'l10', 'cat shared own10; ls | wc -l'), '10\n10\n8\n');
      t.same(await changesOf(all, 'l19', 'l18'), ['D own12', 'A own19', 'C shared']);
    },
  },
  {
    name: 'many at once',
    async run(t, all) {
      await fill(all, 'low', null, 'echo low >f');
      const names = Array.from({ length: 8 }, (_, i) => `c${i}`);
      await Promise.all(
        names.map(async name => {
          await fill(all, name, 'low', `echo ${name} >own; cat f >copy`);
        }),
      );
      t.equal(new Set(all.layers.list().map(({ name }) => name)).size, 9);
      t.same(await changesOf(all, 'c3', 'low'), ['A copy', 'A own']);
      await Promise.all(names.map(name => all.layers.remove(name)));
      t.same(
        all.layers.list().map(({ name }) => name),
        ['low'],
      );
    },
  },
  {
    name: 'removed in any order, with everything that was theirs',
    async run(t, all, backend) {
      await fill(all, 'base', null, 'head -c 2000000 /dev/urandom >f');
      for (const name of ['a', 'b', 'c'])
        await fill(all, name, 'base', `head -c 1000000 /dev/urandom >${name}`);
      for (const name of ['a1', 'a2']) await fill(all, name, 'a', 'head -c 500000 /dev/urandom >f');
      for (const name of ['b', 'a1']) await all.layers.remove(name);
      t.equal(await look(all, 'a2', 'wc -c <f; wc -c <a'), '500000\n1000000\n');
      for (const name of ['a2', 'c', 'a', 'base']) await all.layers.remove(name);
      await all.reopen();
      t.same(readdirSync(`${all.root}/layers`), []);
      t.same(all.layers.list(), []);
      if (backend === 'thin') {
        await all.close();
        const report = await checkPool(`${all.root}/pool`);
        t.same(report.findings, []);
        t.equal(report.volumes, 1, 'only the base is left');
        await all.reopen();
      }
    },
  },
  {
    name: 'one that is in use is removed when its last user goes',
    async run(t, all) {
      await fill(all, 'low', null, 'echo 1 >f');
      await all.layers.prepare({ name: 'top', parent: 'low', kind: 'active' });
      const top = await all.layers.acquire('top');
      const user = spawn('sh', ['-c', 'exec 5<f; echo in; read x; cat <&5'], { cwd: '/', stdio: 'pipe' });
      user.kill();
      const holder = spawn('sh', ['-c', 'cd "$0"; exec 5<f; echo in; read x; cat <&5', top], {
        stdio: 'pipe',
      });
      await once(holder.stdout, 'data');
      await all.layers.remove('top');
      t.notOk(mountsBelow(all.s.dir).includes(top));
      const said = once(holder.stdout, 'data');
      holder.stdin.end('\n');
      t.equal(String(await said), '1\n', 'who has a file open keeps it');
      await once(holder, 'close');
      t.match(all.warnings, [/is in use; it ends with its last user/]);
      await all.layers.remove('low');
    },
  },
  {
    name: 'a new process finds what a killed one had',
    async run(t, all, backend) {
      await all.close();
      const child = spawn(process.execPath, [...LOADER, CHILD, all.root, backend, JSON.stringify(SMALL)], {
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      await said(child, 'ready');
      const died = once(child, 'close');
      child.kill('SIGKILL');
      await died;
      await all.reopen();
      t.same(
        all.layers.list().map(({ name }) => name),
        ['low', 'top'],
        'what was half made has gone',
      );
      const top = `${all.root}/mounts/2`;
      t.equal(await sh(top, 'cat f synced'), 'low\nsynced\n', 'what was mounted is mounted');
      t.equal((await loopsBelow(all.root)).length, backend === 'thin' ? 1 : 0, 'and nothing else');
      await all.layers.release('top');
      t.same(await changesOf(all, 'top', 'low'), ['A synced']);
      await all.layers.remove('top');
      await all.layers.remove('low');
      t.same(all.warnings, []);
    },
  },
  {
    name: 'a quota',
    only: 'thin',
    async run(t, all) {
      await fill(all, 'low', null, 'head -c 1000000 /dev/urandom >f');
      await all.layers.prepare({ name: 'top', parent: 'low', kind: 'active', quota: 80 * MIB });
      const top = await all.layers.acquire('top');
      await sh(top, 'head -c 55M /dev/urandom >more; sync -f .');
      await t.rejects(sh(top, 'head -c 30M /dev/urandom >toomuch'), /No space left on device/);
      const [size] = (await sh(top, 'df --block-size=1M --output=size . | tail -n 1')).trim().split(' ');
      t.ok(Number(size) > 60 && Number(size) <= 80, `statfs says ${size} MiB`);
      await sh(top, 'rm toomuch');
      await all.layers.release('top');
      await fill(all, 'next', 'top', 'wc -c <more >g');
      t.equal(await look(all, 'next', 'cat g'), `${55 * MIB}\n`);
    },
  },
];

async function said(child: ChildProcess, word: string): Promise<void> {
  const line = await Promise.race([once(child.stdout!, 'data'), once(child, 'close')]);
  if (!String(line[0]).startsWith(word)) throw new Error(`the child said ${String(line[0])}`);
}

for (const backend of ['union', 'thin'] as const) {
  void t.test(backend, async t => {
    for (const { name, only, run } of ROWS) {
      if (only !== undefined && only !== backend) continue;
      await t.test(name, async t => {
        const all = await site(t, backend);
        await run(t, all, backend);
        await all.close();
        t.same(mountsBelow(all.s.dir), [], 'nothing is left mounted');
        t.same(await loopsBelow(all.s.dir), [], 'and no loop device');
      });
    }
  });
}
