// A block device at the far end of an NBD connection, through a client that is not ours: libnbd, driven by nbd-device.py.
// Errors are what the server told the client. The map comes later than the interface wants it, so it is `map`.
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type BlockDevice, E, SysError } from '../../src/base/index.js';
import { merged, type Piece } from './thin-pool.js';

/** Debian's, which has its libnbd package. */
const PYTHON = '/usr/bin/python3';
const SCRIPT = fileURLToPath(new URL('nbd-device.py', import.meta.url));
const HEADER = 12;
const REQUEST = 17;

enum Operation {
  Read,
  Write,
  Zero,
  Unmap,
  Trim,
  Flush,
  Map,
}

interface Waiting {
  readonly what: string;
  resolve(data: Buffer): void;
  reject(error: Error): void;
}

export class NbdDevice implements Omit<BlockDevice, 'extents'> {
  readonly blockSize = 64 * 1024;
  size = 0;
  readOnly = false;
  private readonly waiting = new Map<number, Waiting>();
  private readonly child: ChildProcessWithoutNullStreams;
  private readonly ended: Promise<void>;
  private pending: Buffer[] = [];
  private arrived = 0;
  private next = 0;
  private complaints = '';

  private constructor(uri: string) {
    this.child = spawn(PYTHON, [SCRIPT, uri]);
    this.child.stdout.on('data', (data: Buffer) => this.take(data));
    this.child.stderr.on('data', (data: Buffer) => {
      this.complaints += data.toString();
    });
    // A client that has ended tells so by its exit.
    this.child.stdin.on('error', () => {});
    this.ended = new Promise(resolve => {
      this.child.on('close', () => {
        const error = new Error(`the NBD client ended: ${this.complaints}`);
        for (const { reject } of this.waiting.values()) reject(error);
        this.waiting.clear();
        resolve();
      });
    });
  }

  static async connect(uri: string): Promise<NbdDevice> {
    const device = new NbdDevice(uri);
    await new Promise<Buffer>((resolve, reject) => {
      device.waiting.set(-1, { what: 'connect', resolve, reject });
    });
    return device;
  }

  async read(offset: number, length: number, into: Buffer, at: number): Promise<void> {
    const data = await this.ask(Operation.Read, offset, length);
    data.copy(into, at);
  }

  async write(offset: number, data: Buffer): Promise<void> {
    await this.ask(Operation.Write, offset, data.length, data);
  }

  async zero(offset: number, length: number, unmap: boolean): Promise<void> {
    await this.ask(unmap ? Operation.Unmap : Operation.Zero, offset, length);
  }

  async discard(offset: number, length: number): Promise<void> {
    await this.ask(Operation.Trim, offset, length);
  }

  async flush(): Promise<void> {
    await this.ask(Operation.Flush, 0, 0);
  }

  /** The pieces of the range by base:allocation, cut to it. */
  async map(offset: number, length: number): Promise<Piece[]> {
    const pieces: Piece[] = [];
    let at = offset;
    while (at < offset + length) {
      const data = await this.ask(Operation.Map, at, offset + length - at);
      for (let i = 0; i < data.length; i += 8) {
        const bytes = Math.min(data.readUInt32LE(i), offset + length - at);
        pieces.push([bytes, (data.readUInt32LE(i + 4) & 1) !== 0]);
        at += bytes;
      }
      if (data.length === 0) throw new Error(`the server told no extents at ${at}`);
    }
    return merged(pieces);
  }

  async close(): Promise<void> {
    this.child.stdin.end();
    await this.ended;
  }

  private ask(operation: Operation, offset: number, length: number, data?: Buffer): Promise<Buffer> {
    const header = Buffer.alloc(REQUEST);
    const id = this.next++;
    header.writeUInt32LE(id, 0);
    header.writeUInt8(operation, 4);
    header.writeBigUInt64LE(BigInt.asUintN(64, BigInt(offset)), 5);
    header.writeUInt32LE(length >>> 0, 13);
    return new Promise((resolve, reject) => {
      const what = `NBD ${Operation[operation]} of ${length} bytes at ${offset}`;
      this.waiting.set(id, { what, resolve, reject });
      // The copy is the pipe's: the caller may change its own when the operation has ended, which may be before it is sent on.
      this.child.stdin.write(data === undefined ? header : Buffer.concat([header, data]));
    });
  }

  private take(data: Buffer): void {
    this.pending.push(data);
    this.arrived += data.length;
    while (this.arrived >= HEADER) {
      let all = this.pending.length === 1 ? this.pending[0]! : Buffer.concat(this.pending);
      const length = all.readUInt32LE(8);
      if (all.length >= HEADER + length) {
        this.answer(all.readUInt32LE(0), all.readUInt32LE(4), all.subarray(HEADER, HEADER + length));
        all = all.subarray(HEADER + length);
      }
      const stuck = all.length === this.arrived;
      this.pending = [all];
      this.arrived = all.length;
      if (stuck) return;
    }
  }

  private answer(id: number, value: number, data: Buffer): void {
    const greeting = this.waiting.get(-1);
    if (greeting !== undefined) {
      this.waiting.delete(-1);
      this.size = id;
      this.readOnly = value !== 0;
      greeting.resolve(data);
      return;
    }
    const waiting = this.waiting.get(id);
    this.waiting.delete(id);
    if (value === 0) waiting?.resolve(data);
    else waiting?.reject(new SysError(value === 0xffffffff ? E.EIO : value, waiting.what));
  }
}
