// The process that kill.test.ts kills: works on a pool at random, and writes down in a file when each step begins and when it
// has ended. Arguments: the pool's directory, the file, a seed.
import { openSync, writeSync } from 'node:fs';
import { Random } from '../support/random.js';
import type { Content, Step } from '../support/thin-crash-model.js';
import { CrashWork } from '../support/thin-crash-work.js';
import { randomWork } from './crash-random.js';

const [dir, file, seed] = process.argv.slice(2) as [string, string, string];
const fd = openSync(file, 'a');
const numbers = new Map<Step, number>();

function plain(content: Content): unknown {
  return { size: content.size, stamps: Buffer.from(content.stamps.buffer).toString('base64') };
}

function tell(step: Step): void {
  const number = numbers.get(step);
  if (number !== undefined) {
    writeSync(fd, `${JSON.stringify({ ended: number })}\n`);
    return;
  }
  numbers.set(step, numbers.size);
  const { what, volume, whole } = step;
  const durable = step.durable && [...step.durable].map(([name, content]) => [name, plain(content)]);
  const touched = step.touched && [...step.touched];
  writeSync(fd, `${JSON.stringify({ what, volume, whole, durable, touched })}\n`);
}

const work = await CrashWork.open(dir, tell);
const random = new Random(Number(seed));
const prefix = `v${seed}-`;
// Not before it is up to speed: modules and the commit worker have been loaded.
await randomWork(work, random, { steps: 10, prefix: `${prefix}0-` });
process.stdout.write('ready\n');
await randomWork(work, random, { steps: Number.POSITIVE_INFINITY, prefix });
