// `lamina demo`: three layers, mounted, changed, and looked at from both sides; then the same layers through kernel
// overlayfs. All of it below one temporary directory, which is gone at the end, however that comes.
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { Command } from 'commander';
import { fromText, toText } from '../base/index.js';
import { unmount } from '../fuse/index.js';
import { diffLayer } from '../oci/index.js';
import { AT, getxattr, listMounts, listxattr, mount } from '../sys/index.js';
import { formatOptions } from '../union/index.js';
import { daemonise } from './daemonise.js';
import { makeLayers, treeHash, treeLines } from './demo-tree.js';
import { columns, describe, say, UserError, warn } from './output.js';

export function define(command: Command): void {
  command
    .option('--keep', 'leave the layers where they are, to look around in them')
    .action((flags: { keep?: true }) => demo(flags.keep === true));
}

/** What the steps share. */
interface Stage {
  readonly base: string;
  readonly lowers: string[];
  readonly upper: string;
  readonly work: string;
  readonly point: string;
  /** Hashes of the lower layers before anything was mounted. */
  hashes: string[];
  /** The tree as it was last seen through laminafs. */
  seen: string[];
}

const STEPS: readonly { title: string; run(stage: Stage): void | Promise<void> }[] = [
  { title: 'Three layers', run: showLayers },
  { title: 'Mounted as one tree', run: mountThem },
  { title: 'Changes, through the mount', run: change },
  { title: 'What the upper layer holds now', run: showUpper },
  { title: 'What the lower layers hold', run: showLowers },
  { title: 'The same layers through kernel overlayfs', run: showKernel },
];

async function demo(keep: boolean): Promise<void> {
  const base = mkdtempSync(join(tmpdir(), 'lamina-demo-'));
  const at = (name: string) => join(base, name);
  const stage: Stage = {
    base,
    lowers: [],
    upper: at('upper'),
    work: at('work'),
    point: at('mnt'),
    hashes: [],
    seen: [],
  };
  let stopped: string | null = null;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.once(signal, () => (stopped = signal));
  try {
    for (const dir of [stage.upper, stage.work, stage.point]) mkdirSync(dir);
    for (const [i, { title, run }] of STEPS.entries()) {
      say(`\n${i + 1}. ${title}\n`);
      await run(stage);
      await new Promise(resolve => setImmediate(resolve));
      if (stopped !== null) throw new UserError(`stopped by ${stopped}`);
    }
  } finally {
    await unmountIfMounted(stage.point);
    if (!keep) rmSync(base, { recursive: true, force: true });
    say(keep ? `\nThe layers are in ${base}.` : '\nUnmounted and removed.');
  }
}

function show(rows: readonly (readonly string[])[]): void {
  for (const line of columns(rows)) say(`   ${line}`);
}

function showLayers(stage: Stage): void {
  stage.lowers.push(...makeLayers(stage.base));
  stage.hashes = stage.lowers.map(treeHash);
  const about = (layer: string) => {
    const names = readdirSync(layer, { recursive: true, withFileTypes: true }).filter(entry =>
      entry.isFile(),
    );
    const shown = names.slice(0, 3).map(entry => join(entry.parentPath, entry.name).slice(layer.length + 1));
    return `${shown.join(', ')}${names.length > 3 ? `, and ${names.length - 3} more` : ''}`;
  };
  show(stage.lowers.map(layer => [layer, about(layer)]));
}

async function mountThem({ lowers, point, base }: Stage): Promise<void> {
  const names = lowers.map(layer => basename(layer));
  const options = formatOptions({ lowerdir: names, upperdir: 'upper', workdir: 'work' });
  const from = performance.now();
  const request = {
    options: [options],
    source: null,
    mountpoint: 'mnt',
    cwd: fromText(base),
    debug: false,
  };
  const notes = await daemonise(request);
  const took = performance.now() - from;
  say(`   $ cd ${base}`);
  say(`   $ lamina mount -o ${toText(options)} ${basename(point)}`);
  for (const note of notes) warn(`note: ${note}`);
  say(`   live after ${took.toFixed(0)} ms\n`);
  run(point, 'cat etc/hello.conf', 'from layer 3, which hides the one of layer 2');
  run(point, 'usr/bin/hello', 'a program of layer 2');
  run(point, 'ls usr/share/texts', 'files of layer 1');
}

/** Runs one command in the mount and shows it with what it printed. */
function run(point: string, command: string, why: string): void {
  const output = execFileSync('/bin/sh', ['-c', command], {
    cwd: point,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  show([[`$ ${command}`, `# ${why}`]]);
  for (const line of output.split('\n').slice(0, 4)) if (line !== '') say(`     ${line}`);
}

function change(stage: Stage): void {
  const { point } = stage;
  appendFileSync(join(point, 'etc/hello.conf'), 'GREETING="Good evening"\n');
  say('   appended a line to etc/hello.conf');
  rmSync(join(point, 'usr/share/texts/README'));
  say('   removed usr/share/texts/README');
  renameSync(join(point, 'srv/www'), join(point, 'srv/site'));
  say('   renamed the directory srv/www to srv/site');
  mkdirSync(join(point, 'var/log'), { recursive: true });
  writeFileSync(join(point, 'var/log/hello.log'), 'said hello\n');
  say('   wrote var/log/hello.log\n');
  run(point, 'usr/bin/hello', 'the changed file is seen at once');
  stage.seen = treeLines(point);
}

const KINDS = { A: 'added', C: 'changed: copied up', D: 'deleted: a whiteout' } as const;

async function showUpper({ upper, lowers }: Stage): Promise<void> {
  const rows: string[][] = [];
  for await (const { kind, path, type } of diffLayer(fromText(upper), { lowers: lowers.map(fromText) })) {
    const how = kind === 'C' && type === 'directory' ? 'changed' : KINDS[kind];
    rows.push([`${kind} ${toText(path)}`, how, marks(join(upper, toText(path)))]);
  }
  show(rows);
}

/** What tells overlayfs how to read a file of the upper: a device number, or extended attributes. */
function marks(path: string): string {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat?.isCharacterDevice() && stat.rdev === 0) return 'a character device 0/0';
  const names = listxattr(AT.FDCWD, fromText(path));
  if (typeof names === 'number') return '';
  return names
    .filter(name => /overlay\.(redirect|opaque)$/.test(name))
    .map(name => `${name}=${getxattr(AT.FDCWD, fromText(path), name).toString()}`)
    .join(' ');
}

function showLowers({ lowers, hashes }: Stage): void {
  const after = lowers.map(treeHash);
  show(
    lowers.map((layer, i) => [layer, hashes[i]!, after[i] === hashes[i] ? 'as before' : `NOW ${after[i]}`]),
  );
  if (after.some((hash, i) => hash !== hashes[i])) throw new UserError('a lower layer has changed');
}

async function showKernel({ lowers, upper, work, point, seen }: Stage): Promise<void> {
  await unmount(fromText(point));
  const options = formatOptions({ lowerdir: lowers, upperdir: upper, workdir: work, redirect_dir: 'on' });
  const rc = mount('overlay', fromText(point), 'overlay', 0, options);
  if (rc < 0) {
    say(
      `   not shown: ${process.geteuid?.() === 0 ? 'this host does not mount overlayfs' : 'that needs root'}`,
    );
    return;
  }
  const same = treeLines(point).join('\n') === seen.join('\n');
  say(`   $ mount -t overlay -o ${toText(options)} overlay ${point}`);
  run(point, 'usr/bin/hello', 'the changes are there');
  say(
    `   ${seen.length} paths, ${same ? 'all the same as through laminafs' : 'NOT the same as through laminafs'}`,
  );
  if (!same) throw new UserError('kernel overlayfs shows another tree');
}

async function unmountIfMounted(point: string): Promise<void> {
  if (!listMounts().some(({ mountpoint }) => mountpoint === fromText(point))) return;
  await unmount(fromText(point)).catch(error => warn(describe(error)));
}
