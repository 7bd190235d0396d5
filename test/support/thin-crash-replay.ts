// What the disk may hold after a power cut at any moment of a recording. What a completed fsync covered is there; of what
// came after it, any part may be, torn at sectors or pages and in any order; a commit is there or not, as SQLite promises.
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Database, openDatabase } from '../../src/sys/index.js';
import { BatchWriter } from '../../src/thin/batch.js';
import { APPLICATION_ID, SCHEMA_VERSION } from '../../src/thin/schema.js';
import type { Random } from './random.js';
import type { Change, Recorder } from './thin-crash.js';

/** Which of the changes that no fsync covered have reached the disk. */
export type Loss = 'nothing' | 'everything' | 'random';

/** The disk at ascending moments of a recording that began with an empty data file. */
export class Replay {
  private readonly image: Buffer;
  private readonly copy: Buffer;
  private readonly database: Database;
  private readonly writer: BatchWriter;
  /** Changes that have begun and are not in the image for good. */
  private open: Change[] = [];
  private nextChange = 0;
  private nextCommit = 0;
  private nextSync = 0;
  private size: number;
  /** The database without and with the commit under way. */
  private base: Buffer;
  private ahead: Buffer;

  /** `start`: a copy of the database before the recording, which is written to. */
  constructor(
    private readonly recorder: Recorder,
    start: string,
    size: number,
  ) {
    this.size = size;
    this.image = Buffer.alloc(Math.max(size, ...recorder.sizes.map(grown => grown.size)));
    this.copy = Buffer.alloc(this.image.length);
    this.database = openDatabase(start, {
      mode: 'write',
      applicationId: APPLICATION_ID,
      version: SCHEMA_VERSION,
    });
    this.writer = new BatchWriter(this.database);
    this.base = this.ahead = this.database.serialize();
  }

  /** Moments at which the disk, or what may be on it, changes. */
  moments(): number[] {
    const { changes, syncs, commits } = this.recorder;
    const all = [...changes.map(({ begun }) => begun), ...syncs.map(({ ended }) => ended)];
    for (const { begun, ended } of commits) all.push(begun, ended);
    return [...new Set(all)].filter(Number.isFinite).sort((a, b) => a - b);
  }

  /** Moves on to a moment, not before the last one. */
  advance(moment: number): void {
    const { changes, syncs, commits } = this.recorder;
    for (; (changes[this.nextChange]?.begun ?? Infinity) <= moment; this.nextChange++) {
      this.open.push(changes[this.nextChange]!);
    }
    for (; (syncs[this.nextSync]?.ended ?? Infinity) <= moment; this.nextSync++) {
      this.settle(syncs[this.nextSync]!.begun);
    }
    // One commit runs at a time.
    for (; (commits[this.nextCommit]?.begun ?? Infinity) <= moment; this.nextCommit++) {
      this.base = this.ahead;
      this.writer.commit(commits[this.nextCommit]!.batch);
      this.ahead = this.database.serialize();
    }
    if ((commits[this.nextCommit - 1]?.ended ?? 0) <= moment) this.base = this.ahead;
    for (const { ended, size } of this.recorder.sizes)
      if (ended <= moment) this.size = Math.max(this.size, size);
  }

  /** Puts a disk of this moment into `dir`. */
  write(dir: string, loss: Loss, random: Random): void {
    for (const name of ['pool.db-wal', 'pool.db-shm', 'lock', 'reserve'])
      rmSync(join(dir, name), { force: true });
    writeFileSync(
      join(dir, 'pool.db'),
      loss === 'nothing' || (loss === 'random' && random.oneIn(2)) ? this.ahead : this.base,
    );
    const image = this.copy.subarray(0, this.size);
    this.image.copy(image, 0, 0, this.size);
    if (loss === 'nothing') for (const change of this.open) apply(image, change);
    if (loss === 'random') for (const change of shuffled(this.open, random)) tear(image, change, random);
    writeFileSync(join(dir, 'data'), image);
  }

  close(): void {
    this.database.close();
  }

  /** An fsync that began at a moment covers what had ended before. */
  private settle(begun: number): void {
    const settled = this.open.filter(change => change.ended < begun);
    for (const change of settled) apply(this.image, change);
    this.open = this.open.filter(change => change.ended >= begun);
  }
}

function apply(image: Buffer, { offset, length, data }: Change, from = 0, to = length): void {
  if (data === null) image.fill(0, offset + from, offset + to);
  else data.copy(image, offset + from, from, to);
}

/** Nothing, all, the beginning, or any sectors or pages of a change. */
function tear(image: Buffer, change: Change, random: Random): void {
  const unit = random.oneIn(2) ? 512 : 4096;
  const how = random.below(4);
  if (how === 1) apply(image, change);
  if (how === 2) apply(image, change, 0, unit * random.below(1 + change.length / unit));
  if (how === 3) {
    for (let at = 0; at < change.length; at += unit) {
      if (random.oneIn(2)) apply(image, change, at, Math.min(at + unit, change.length));
    }
  }
}

function shuffled<T>(items: readonly T[], random: Random): T[] {
  const all = [...items];
  for (let i = all.length - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [all[i], all[j]] = [all[j]!, all[i]!];
  }
  return all;
}
