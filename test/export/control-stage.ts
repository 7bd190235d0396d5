// A control server over a table of operations that need no pool, and ways to talk to it: by the client, and by raw bytes.
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { E, SysError } from '../../src/base/index.js';
import type { Operation, OperationIo } from '../../src/export/control-operation.js';
import { CONTROL_SOCKET, ControlServer } from '../../src/export/control-server.js';

/** What the operations have done. */
export class Subject {
  readonly log: string[] = [];
  readonly received: Buffer[] = [];
  readonly defects: string[] = [];
  /** Resolves when something is logged next. */
  async next(): Promise<string> {
    const before = this.log.length;
    while (this.log.length === before) await new Promise<void>(resolve => (this.#wake = resolve));
    return this.log[before]!;
  }
  say(text: string): void {
    this.log.push(text);
    this.#wake?.();
  }
  #wake: (() => void) | undefined;
}

type Row = Operation<Subject, unknown, unknown>;

/** Resolves when the caller is not interested any more. */
function unwanted(io: OperationIo): Promise<void> {
  return new Promise(resolve => io.signal.addEventListener('abort', () => resolve()));
}

export const TABLE: Record<string, Row> = {
  echo: {
    check: fields => fields.text('text'),
    run: (subject, text) => {
      subject.say(`echo ${String(text)}`);
      return { text };
    },
  },
  fail: {
    check: () => null,
    run: () => {
      throw new SysError(E.ENOSPC, 'the pool is full');
    },
  },
  break: {
    check: () => null,
    run: () => {
      throw new TypeError('a mistake of ours');
    },
  },
  count: {
    check: fields => fields.number('bytes'),
    run: async (subject, bytes, io) => {
      try {
        for (let at = 0; at < Number(bytes); at += 1 << 16) {
          await io.output(Buffer.alloc(1 << 16, at >>> 16));
          io.progress(at, Number(bytes));
        }
      } catch (error) {
        subject.say(`count: ${(error as SysError).code}`);
        throw error;
      }
      subject.say('count: done');
      return null;
    },
  },
  take: {
    input: true,
    check: fields => fields.flag('hasty'),
    run: async (subject, hasty, io) => {
      try {
        for await (const piece of io.input) {
          if (hasty === true) throw new SysError(E.EEXIST, 'there is one already');
          subject.received.push(Buffer.from(piece));
        }
      } catch (error) {
        subject.say(`take: ${(error as SysError).code}`);
        throw error;
      }
      subject.say('take: done');
      return { bytes: Buffer.concat(subject.received).length };
    },
  },
  serve: {
    check: () => null,
    run: async (subject, _, io) => {
      io.ready(['live']);
      subject.say('serve: live');
      await unwanted(io);
      subject.say('serve: over');
      return null;
    },
  },
};

export class Stage {
  readonly subject = new Subject();
  private constructor(
    readonly dir: string,
    readonly server: { value: ControlServer<Subject> | null } = { value: null },
  ) {}

  static async open(t: Test, dir = mkdtempSync(join(tmpdir(), 'lamina-control-'))): Promise<Stage> {
    const stage = new Stage(dir);
    await stage.listen();
    t.teardown(async () => {
      await stage.server.value?.close(true);
      rmSync(dir, { recursive: true, force: true });
    });
    return stage;
  }

  async listen(): Promise<void> {
    const { subject } = this;
    const defect = (error: unknown, what: string) => void subject.defects.push(`${what}: ${String(error)}`);
    this.server.value = await ControlServer.listen(this.dir, { subject, table: TABLE, defect });
  }

  async raw(): Promise<Socket> {
    const socket = connect(join(this.dir, CONTROL_SOCKET));
    socket.on('error', () => socket.destroy());
    await once(socket, 'connect');
    return socket;
  }
}

/** The bytes of a frame. */
export function frame(kind: 'J' | 'D', body: Buffer | string, length = Buffer.byteLength(body)): Buffer {
  const header = Buffer.alloc(5);
  header.writeUInt32BE(length);
  header.write(kind, 4);
  return Buffer.concat([header, Buffer.from(body)]);
}

/** Everything that comes until the other side closes. */
export async function untilClosed(socket: Socket): Promise<Buffer> {
  const pieces: Buffer[] = [];
  socket.on('data', piece => pieces.push(piece));
  if (!socket.closed) await once(socket, 'close');
  return Buffer.concat(pieces);
}
