// Runs contract rows over a subject and holds each against kernel overlayfs: the same outcome of every operation, the
// same tree, and interchange both ways (the kernel mounts the upper that the subject wrote, the subject mounts the
// kernel's), with every lower layer unchanged to the last bit. Rows that can share a mount do: each has a directory of
// its own in it.
import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { native } from '../../src/sys/index.js';
import { buildLayer, type Layer, openDir } from './lowers.js';
import type { Outcome } from './ops.js';
import { type Row, shape } from './oracle-row.js';
import { workRubbish } from './oracle-work.js';
import type { Mounted, MountSpec, Subject } from './subject.js';
import { Scratch } from './subject-scratch.js';
import { differences, type Snapshot, snapshot } from './tree.js';
import { fingerprint } from './tree-fingerprint.js';

/** What a row gave over a subject. */
export interface Ran {
  readonly outcomes: readonly Outcome[];
  readonly tree: Snapshot;
  /** The same tree through the other implementation. */
  exchanged: Snapshot | null;
}

/** Rows that share a mount. */
interface Batch {
  readonly rows: readonly Row[];
  readonly options: readonly string[];
  readonly readonly: boolean;
}

/** The results of a batch over one subject. */
interface BatchRun {
  readonly rows: ReadonlyMap<Row, Ran>;
  /** Changes of lower layers, and what is left in the work directory. */
  readonly damage: readonly string[];
}

/** Options that make kernel overlayfs do all that it can; a row's own come after them. */
const fullOptions = ['redirect_dir=on', 'index=on', 'xino=on'];

export function batchesOf(rows: readonly Row[]): Batch[] {
  const batches = new Map<string, Batch & { rows: Row[] }>();
  rows.forEach((row, i) => {
    const options = row.options ?? fullOptions;
    const readonly = row.readonly === true;
    const key = row.alone ? `alone ${i}` : `${options.join()} ${readonly}`;
    const batch = batches.get(key) ?? { rows: [], options, readonly };
    batch.rows.push(row);
    batches.set(key, batch);
  });
  return [...batches.values()];
}

/** The directory of a row in its batch's mount. */
function placeOf(batch: Batch, row: Row): string {
  return row.alone ? '' : `r${batch.rows.indexOf(row)}`;
}

/** The directories of one run. */
interface Places {
  readonly lowers: readonly string[];
  readonly spec: MountSpec;
  readonly scratch: Scratch;
}

function writeLayers(batch: Batch): Places {
  const scratch = new Scratch();
  const place = (name: string): string => {
    const path = join(scratch.path, name);
    mkdirSync(path);
    // The union in this process (subject-memory.ts) has set the umask to 0.
    chmodSync(path, 0o755);
    return path;
  };
  const depth = Math.max(...batch.rows.map(row => row.lowers.length), batch.readonly ? 2 : 1);
  const lowers = Array.from({ length: depth }, (_, i) => place(`lower${i}`));
  for (const [i, path] of lowers.entries()) write(path, batch, row => row.lowers[i]);
  const spec = { lowers, options: batch.options, mountpoint: place('merged') };
  if (batch.readonly) return { lowers, spec, scratch };
  const upper = place('upper');
  write(upper, batch, row => row.upper);
  return { lowers, spec: { ...spec, upper, work: place('work') }, scratch };
}

function write(path: string, batch: Batch, layerOf: (row: Row) => Layer | undefined): void {
  for (const row of batch.rows) {
    const layer = layerOf(row);
    const place = placeOf(batch, row);
    if (layer === undefined) continue;
    if (place !== '') mkdirSync(join(path, place));
    const root = openDir(join(path, place));
    buildLayer(root, layer);
    native.close(root);
  }
}

/** Runs a batch over `subject`, and mounts what it wrote with `other` to look again. */
export async function runBatch(batch: Batch, subject: Subject, other: Subject | null): Promise<BatchRun> {
  const places = writeLayers(batch);
  try {
    const before = places.lowers.map(fingerprint);
    const rows = new Map<Row, Ran>();
    await mounted(subject, places.spec, async mount => {
      for (const row of batch.rows) rows.set(row, await runRow(row, mount, placeOf(batch, row)));
    });
    const damage = subject.isOverlayfs ? [] : workRubbish(places.spec.work);
    if (other !== null) {
      await mounted(other, places.spec, async mount => {
        for (const row of batch.rows) rows.get(row)!.exchanged = await look(mount, placeOf(batch, row));
      });
    }
    places.lowers.forEach((path, i) => {
      const changed = differences(before[i]!, fingerprint(path));
      if (changed !== '') damage.push(`lower ${i} has changed:\n${changed}`);
    });
    return { rows, damage };
  } finally {
    places.scratch.remove();
  }
}

async function mounted(
  subject: Subject,
  spec: MountSpec,
  use: (mount: Mounted) => Promise<void>,
): Promise<void> {
  const mount = await subject.mount(spec);
  try {
    await use(mount);
  } finally {
    await mount.unmount();
  }
}

async function runRow(row: Row, mount: Mounted, place: string): Promise<Ran> {
  const tree = mount.tree(place);
  const outcomes: Outcome[] = [];
  try {
    for (const [step] of row.steps) outcomes.push(await tree.run(step));
    return { outcomes, tree: await snapshot(tree.view), exchanged: null };
  } finally {
    await tree.close();
  }
}

async function look(mount: Mounted, place: string): Promise<Snapshot> {
  const tree = mount.tree(place);
  try {
    return await snapshot(tree.view);
  } finally {
    await tree.close();
  }
}

/** Takes out of lines and outcomes what a subject cannot show. */
export interface Blur {
  line(text: string): string;
  outcome(text: Outcome): Outcome;
}

export const exact: Blur = { line: text => text, outcome: text => text };

/** Checks one row's run over a subject that is not the kernel against its own statements and the kernel's run. */
export function checkRow(test: Test, row: Row, ran: Ran, oracle: Ran, blur: Blur): void {
  const expected = row.differs?.outcomes ?? row.steps.map(step => step[1]);
  test.same(ran.outcomes.map(blur.outcome), expected.map(blur.outcome), 'outcomes of the operations');
  if (blur === exact) test.same(ran.tree.problems, [], 'no contradiction in the tree');
  if (row.differs?.tree) return;
  if (row.tree !== undefined) test.same(shape(ran.tree.lines), row.tree, 'the tree');
  const seen = ran.tree.lines.map(blur.line);
  const right = oracle.tree.lines.map(blur.line);
  test.equal(differences(right, seen), '', 'the tree as kernel overlayfs shows it');
  if (ran.exchanged === null) return;
  const taken = ran.exchanged.lines.map(blur.line);
  test.equal(differences(seen, taken), '', 'kernel overlayfs shows the same of our upper');
}

/** Checks that the row says what kernel overlayfs does. */
export function checkOracle(test: Test, row: Row, ran: Ran): void {
  test.same(
    ran.outcomes,
    row.steps.map(step => step[1]),
    'outcomes of the operations',
  );
  if (row.tree !== undefined && !row.differs?.tree) test.same(shape(ran.tree.lines), row.tree, 'the tree');
}

/** Checks that a subject which mounts the kernel's upper shows what the kernel showed. */
export function checkExchange(test: Test, ran: Ran): void {
  if (ran.exchanged === null) return;
  test.equal(differences(ran.tree.lines, ran.exchanged.lines), '', "we show the same of the kernel's upper");
}
