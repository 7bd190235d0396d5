// Random conversations with a server, one per seed: options and requests that are right or wrong in ways whose answer is
// known, compared with a device of the same kind; then, often, bytes that mean nothing, after which only the server must live.
import { Extents } from '../../src/nbd/extents.js';
import { readExtent, u32, writeOption } from '../../src/nbd/layout.js';
import { CHUNK, COMMAND, FLAG, MAX_PAYLOAD, NBD_ERROR, OPTION, REPLY } from '../../src/nbd/protocol.js';
import { type BufferDevice, bufferDevice } from '../support/block-devices.js';
import { Random } from '../support/random.js';
import { type Client, type Command, infoData, metaData, type Reply, requestBytes } from './client.js';

export const BLOCK = 4096;
export const SIZE = 64 * BLOCK;
const { EINVAL, ENOSPC, ENOTSUP } = NBD_ERROR;
const TYPES = [0, 0, 0, 1, 1, 1, 3, 4, 5, 6, 6, 7, 7, 8, 9, 0x7fff];
const LENGTHS = [0, 1, 512, BLOCK - 1, BLOCK, BLOCK + 1, 32_768, 33_000, 100_000, SIZE, SIZE + 1];
/** What each type takes. */
const FLAGS: Readonly<Record<number, number>> = { 0: 5, 1: 1, 3: 1, 4: 1, 5: 1, 6: 19, 7: 9 };

/** A device like the ones that the server opens. */
export function fuzzDevice(): BufferDevice {
  return bufferDevice(SIZE, BLOCK);
}

type Check = (reply: Reply) => void;

export class Conversation {
  /** Options, requests and pieces of garbage sent. */
  messages = 0;
  private readonly random: Random;
  private readonly model = fuzzDevice();
  private structured = false;
  private allocation = false;
  private readonly expected = new Map<number, Check>();

  constructor(
    readonly seed: number,
    private readonly client: Client,
  ) {
    this.random = new Random(seed);
  }

  /** All of it; throws when an answer is not the one expected. */
  async run(): Promise<void> {
    await this.client.greet();
    if (this.random.oneIn(4)) {
      await this.garble(() => this.wildOption());
      return;
    }
    await this.handshake();
    for (let rounds = this.random.below(4); rounds >= 0; rounds--) {
      for (let count = 1 + this.random.below(60); count > 0; count--) this.ask();
      while (this.expected.size > 0) await this.hear();
    }
    if (this.random.oneIn(3)) this.client.close();
    else if (this.random.oneIn(2)) await this.client.disconnect();
    else await this.garble(() => this.wildRequest());
  }

  /** Sends what nobody can predict, ends, and waits until the server has hung up. */
  private async garble(make: () => Buffer): Promise<void> {
    for (let count = 1 + this.random.below(20); count > 0; count--) {
      this.messages++;
      this.client.send(make());
    }
    this.client.socket.end();
    await this.client.rest();
  }

  private async handshake(): Promise<void> {
    const { random } = this;
    const expect = async (option: number, data: Buffer, last: number): Promise<void> => {
      this.messages++;
      const replies = await this.client.option(option, data);
      if (replies.at(-1)!.type !== last) throw new Error(`option ${option}: ${replies.at(-1)!.type}`);
    };
    const none = Buffer.alloc(0);
    for (let count = random.below(4); count > 0; count--) {
      if (random.oneIn(2))
        await expect(12 + random.below(1000), random.oneIn(2) ? none : u32(7), REPLY.ERR_UNSUP);
      else await expect(random.pick([OPTION.LIST, OPTION.STRUCTURED_REPLY]), u32(0), REPLY.ERR_INVALID);
    }
    this.structured = !random.oneIn(3);
    this.allocation = this.structured && !random.oneIn(3);
    if (this.structured) await expect(OPTION.STRUCTURED_REPLY, none, REPLY.ACK);
    if (this.allocation) {
      await expect(OPTION.SET_META_CONTEXT, metaData('disk', ['base:allocation']), REPLY.ACK);
    }
    await expect(OPTION.GO, infoData('disk', [3]), REPLY.ACK);
  }

  private ask(): void {
    const { random } = this;
    this.messages++;
    const type = random.pick(TYPES);
    const flags = random.oneIn(20) ? 1 << random.below(16) : random.below(32) & (FLAGS[type] ?? 0);
    let length = random.pick(LENGTHS);
    let offset = random.oneIn(50) ? 2 ** random.below(64) : random.below(SIZE);
    if (type !== COMMAND.WRITE && random.oneIn(100)) length = MAX_PAYLOAD + random.below(2);
    if (type === COMMAND.FLUSH && !random.oneIn(5)) length = offset = 0;
    if (random.oneIn(2)) length = Math.min(length, Math.max(0, SIZE - offset));
    const data = type === COMMAND.WRITE ? Buffer.alloc(length, random.below(256)) : null;
    const command: Command = { type, flags, offset, length, ...(data === null ? {} : { data }) };
    const check = this.foresee(type, flags, offset, length, data);
    this.expected.set(this.client.request(command), check);
  }

  /** The error that the protocol wants for a request, or 0. */
  private errorOf(type: number, flags: number, offset: number, length: number): number {
    const allowed = FLAGS[type];
    if (allowed === undefined || (flags & ~allowed) !== 0) return EINVAL;
    if (length > MAX_PAYLOAD && (type === COMMAND.READ || type === COMMAND.WRITE)) return EINVAL;
    if (type === COMMAND.FLUSH && (offset !== 0 || length !== 0)) return EINVAL;
    if (offset + length > SIZE)
      return type === COMMAND.WRITE || type === COMMAND.WRITE_ZEROES ? ENOSPC : EINVAL;
    if (type === COMMAND.BLOCK_STATUS && (!this.allocation || length === 0)) return EINVAL;
    if (type === COMMAND.WRITE_ZEROES && (flags & FLAG.FAST_ZERO) !== 0 && length > 0) {
      const whole = Math.floor((offset + length) / BLOCK) - Math.ceil(offset / BLOCK);
      if ((flags & FLAG.NO_HOLE) !== 0 || whole < 1) return ENOTSUP;
    }
    return 0;
  }

  /** Does the request on the model, and says what to expect of the reply. */
  private foresee(type: number, flags: number, offset: number, length: number, data: Buffer | null): Check {
    const error = this.errorOf(type, flags, offset, length);
    const what = `type ${type} flags ${flags} at ${offset} length ${length}`;
    const sameError: Check = reply => {
      if (reply.error !== error) throw new Error(`${what}: error ${reply.error}, not ${error}`);
    };
    if (error !== 0) return sameError;
    // With FUA it is done at once as well, but read later: what others have written meanwhile is in it.
    const later = (flags & FLAG.FUA) !== 0;
    const { model } = this;
    if (type === COMMAND.WRITE) model.write(offset, data!);
    else if (type === COMMAND.TRIM) model.discard(offset, length);
    else if (type === COMMAND.WRITE_ZEROES) model.zero(offset, length, (flags & FLAG.NO_HOLE) === 0);
    else if (type === COMMAND.READ && !later) return this.foreseeRead(what, offset, length);
    else if (type === COMMAND.BLOCK_STATUS && !later) {
      return this.foreseeStatus(what, offset, length, (flags & FLAG.REQ_ONE) !== 0);
    }
    return sameError;
  }

  private foreseeRead(what: string, offset: number, length: number): Check {
    const content = Buffer.from(this.model.content.subarray(offset, offset + length));
    return ({ error, data, chunks }) => {
      const found = this.structured ? Buffer.alloc(length, 0xee) : data;
      for (const { type, payload } of chunks) {
        if (type === CHUNK.NONE) continue;
        const at = Number(payload.readBigUInt64BE(0)) - offset;
        if (type === CHUNK.OFFSET_DATA) payload.copy(found, at, 8);
        else found.fill(0, at, at + payload.readUInt32BE(8));
      }
      if (error !== 0 || !found.equals(content)) throw new Error(`${what}: error ${error} or other bytes`);
    };
  }

  private foreseeStatus(what: string, offset: number, length: number, one: boolean): Check {
    const extents = new Extents(one ? 1 : 1024);
    extents.collect(this.model, offset, length);
    const wanted = Array.from({ length: extents.count }, (_, i) => {
      return `${extents.lengths[i]}:${extents.holes[i] === 1 ? 3 : 0}`;
    });
    return ({ error, chunks }) => {
      const payload = chunks[0]!.payload;
      const found: string[] = [];
      for (let at = 4; at < payload.length; at += 8) {
        const extent = readExtent(payload, at);
        found.push(`${extent.length}:${extent.flags}`);
      }
      if (error !== 0 || found.join() !== wanted.join()) throw new Error(`${what}: ${found}, not ${wanted}`);
    };
  }

  /** Takes the next reply, of whichever kind, and compares it. */
  private async hear(): Promise<void> {
    const reply = await this.client.anyReply();
    const check = this.expected.get(reply.cookie);
    if (check === undefined) throw new Error(`a reply to nothing: ${reply.cookie}`);
    this.expected.delete(reply.cookie);
    check(reply);
  }

  private noise(length: number): Buffer {
    return Buffer.from(Array.from({ length }, () => this.random.below(256)));
  }

  /** Something like `good`, with a few bits turned or a piece missing. */
  private spoil(good: Buffer): Buffer {
    const { random } = this;
    for (let count = random.below(4); count > 0 && good.length > 0; count--) {
      good[random.below(good.length)]! ^= 1 << random.below(8);
    }
    return random.oneIn(4) ? good.subarray(random.below(good.length + 1)) : good;
  }

  private wildOption(): Buffer {
    const { random } = this;
    if (random.oneIn(8)) return this.noise(random.below(100));
    const name = random.pick(['', 'disk', 'none', 'x'.repeat(5000)]);
    const data = random.pick([
      () => this.noise(random.below(40)),
      () => infoData(name, [random.below(5), random.below(5)]),
      () => metaData(name, ['base:allocation', 'qemu:x']),
      () => Buffer.from(name),
    ]);
    return this.spoil(writeOption(random.below(13), data()));
  }

  private wildRequest(): Buffer {
    const { random } = this;
    if (random.oneIn(8)) return this.noise(random.below(200));
    const length = random.pick([...LENGTHS, 2 ** random.below(32)]);
    const type = random.below(10);
    const head = requestBytes({ type, flags: random.below(64), offset: random.below(SIZE), length });
    return this.spoil(Buffer.concat([head, this.noise(type === COMMAND.WRITE ? random.below(300) : 0)]));
  }
}
