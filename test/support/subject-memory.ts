// The union without a kernel: in this process, driven by real FUSE bytes (fuse-client.ts). What a kernel decides before it
// asks a file system is in ops-memory.ts, as far as contract rows need it; rows that are about those decisions say so and
// are not run over this subject.
import { STAT_SLOTS, type Stat, SysError } from '../../src/base/index.js';
import { openUnion, parseOptions } from '../../src/union/index.js';
import { type Attr, FuseClient } from './fuse-client.js';
import type { Op, Outcome } from './ops.js';
import { MemoryCalls } from './ops-memory.js';
import { optionString, type Subject, type Tree } from './subject.js';
import { condensed, type Listed, type View } from './tree.js';

class MemoryView implements View {
  constructor(
    private readonly client: FuseClient,
    private readonly root: string,
  ) {}

  private at(path: string): string {
    return `${this.root}/${path}`;
  }

  async list(path: string): Promise<Listed[]> {
    const entries = await this.client.readdir(this.at(path));
    return entries
      .filter(({ name }) => name !== '.' && name !== '..')
      .map(({ name, ino, type }) => ({ name, ino: String(ino), type }));
  }

  async stat(path: string, out: Stat): Promise<void> {
    fillStat(out, await this.client.lstat(this.at(path)));
  }

  readlink(path: string): Promise<string> {
    return this.client.readlink(this.at(path));
  }

  async read(path: string): Promise<Buffer> {
    return condensed(await this.client.readFile(this.at(path)));
  }

  async xattrs(path: string): Promise<(readonly [string, string])[]> {
    const all: (readonly [string, string])[] = [];
    for (const name of await this.client.listxattr(this.at(path))) {
      all.push([name, (await this.client.getxattr(this.at(path), name)).toString('latin1')]);
    }
    return all;
  }
}

/** What a FUSE answer says, as statx(2) would. */
export function fillStat(out: Stat, attr: Attr): void {
  const values: Readonly<Record<string, number>> = { ...attr, inoLow: attr.ino };
  STAT_SLOTS.forEach((name, i) => {
    out.slots[i] = values[name] ?? 0;
  });
}

export class MemoryTree implements Tree {
  readonly view: MemoryView;
  private readonly calls: MemoryCalls;

  constructor(
    private readonly client: FuseClient,
    root: string,
  ) {
    this.view = new MemoryView(client, root);
    this.calls = new MemoryCalls(client, root);
  }

  async run(step: Op): Promise<Outcome> {
    const method = this.calls[step.call as keyof MemoryCalls] as
      | ((...args: (string | number)[]) => Promise<unknown>)
      | undefined;
    if (method === undefined) return `${step.call} is not carried without a kernel`;
    const who = step.as ?? { uid: 0, gid: 0, umask: 0o022 };
    this.client.as(who.uid, who.gid, who.umask);
    try {
      const found = await method.apply(this.calls, [...step.args]);
      return typeof found === 'string' ? found : 'ok';
    } catch (error) {
      if (error instanceof SysError) return error.code;
      throw error;
    } finally {
      this.client.as(0, 0, 0o022);
    }
  }

  async close(): Promise<void> {
    await this.calls.closeAll();
  }
}

export const memory: Subject = {
  name: 'memory',
  available: () => (process.getuid?.() === 0 ? null : 'the comparison with kernel overlayfs needs root'),
  async mount(spec) {
    const client = await FuseClient.start(openUnion(parseOptions(optionString(spec))));
    return {
      tree: path => new MemoryTree(client, path === '' ? '' : `/${path}`),
      unmount: () => client.unmount(),
    };
  },
};
