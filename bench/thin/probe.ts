// `thin-probe.js LIBRARY DIR NAME`: opens the pool DIR, snapshots its volume NAME, and prints what that took as JSON:
// milliseconds, MiB of memory, and bytes of SQLite's log. In a process of its own, so that memory is this one's.
import { statSync } from 'node:fs';

const [library, dir, name] = process.argv.slice(2);
/** What is used of the library, which is loaded as it was built. */
interface Pool {
  snapshot(requests: readonly { origin: string; name: string }[]): Promise<unknown>;
  remove(name: string): Promise<void>;
  close(): Promise<void>;
  volume(name: string): {
    write(offset: number, data: Buffer): void | Promise<void>;
    flush(): Promise<void>;
    close(): Promise<void>;
  };
}

const { Pool } = (await import(library!)) as { Pool: { open(dir: string): Promise<Pool> } };

const log = (): number => statSync(`${dir}/pool.db-wal`, { throwIfNoEntry: false })?.size ?? 0;

async function timed<T>(body: () => Promise<T>): Promise<[milliseconds: number, result: T]> {
  const begun = performance.now();
  const result = await body();
  return [performance.now() - begun, result];
}

const ROUNDS = 5;
const BLOCK = 65_536;

const [open, pool] = await timed(() => Pool.open(dir!));
const rss = process.memoryUsage().rss / 2 ** 20;
const before = log();
const snapshots: number[] = [];
for (let i = 0; i < ROUNDS; i++) {
  snapshots.push((await timed(() => pool.snapshot([{ origin: name!, name: `s${i}` }])))[0]);
}
const bytes = (log() - before) / ROUNDS;
const volume = pool.volume(name!);
const [write] = await timed(async () => {
  await volume.write(12_345 * BLOCK + 4096, Buffer.alloc(4096));
  await volume.flush();
});
await volume.close();
const [remove] = await timed(() => pool.remove(name!));
const peak = process.resourceUsage().maxRSS / 1024;
process.stdout.write(
  `${JSON.stringify({ open, rss, peak, bytes, write, remove, first: snapshots[0], slowest: Math.max(...snapshots) })}\n`,
);
await pool.close();
