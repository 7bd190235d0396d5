// A kernel's side of the FUSE protocol, without a kernel: encodes requests, decodes replies, over a MemoryChannel. One
// method per opcode, by node ids and file handles; paths are in fuse-client.ts. Failures are SysError.
import { type ByteString, E, SysError } from '../../src/base/index.js';
import {
  type FileSystem,
  layout,
  MemoryChannel,
  protocol,
  type RingOffer,
  Session,
  type SessionOptions,
} from '../../src/fuse/index.js';

const { OP, INIT_BIT, FATTR } = protocol;
const HIGH = 2 ** 32;

export interface Attr {
  ino: number;
  size: number;
  blocks: number;
  atime: number;
  mtime: number;
  ctime: number;
  atimeNsec: number;
  mtimeNsec: number;
  ctimeNsec: number;
  mode: number;
  nlink: number;
  uid: number;
  gid: number;
  rdevMajor: number;
  rdevMinor: number;
  blksize: number;
}

/** An answer to LOOKUP and its relatives; nodeid 0: remembered absence. */
export interface EntryOut {
  nodeid: number;
  generation: number;
  entryValid: number;
  attr: Attr;
}

export interface OpenOut {
  fh: number;
  flags: number;
  backing: number;
}

export interface Dirent {
  name: ByteString;
  ino: number;
  type: number;
  next: number;
  /** READDIRPLUS only; nodeid 0 when the file system gave no node. */
  entry?: EntryOut;
}

export interface SetAttr {
  mode?: number;
  uid?: number;
  gid?: number;
  size?: number;
  atime?: { sec: number; nsec: number } | 'now';
  mtime?: { sec: number; nsec: number } | 'now';
  fh?: number;
  kill?: boolean;
}

export interface WireOptions extends SessionOptions {
  /** Hands out backing ids; absent: no passthrough. */
  readonly fakeBacking?: { open(fd: number): number; close(id: number): void };
  readonly minor?: number;
  readonly ring?: RingOffer;
}

/** Every INIT flag that a kernel offers, as the two words; directories without handles only when asked for. */
export function allFlags({ noOpendir = false } = {}): [flags: number, flags2: number] {
  let flags = 0;
  let flags2 = 0;
  for (const bit of Object.values(INIT_BIT)) {
    if (bit === INIT_BIT.NO_OPENDIR_SUPPORT && !noOpendir) continue;
    if (bit < 32) flags |= 1 << bit;
    else flags2 |= 1 << (bit - 32);
  }
  return [flags >>> 0, flags2 >>> 0];
}

/** A request's body under construction: a struct of `count` words, then bytes. */
export class Body {
  readonly words: Uint32Array;
  private tail: Buffer = Buffer.alloc(0);
  constructor(count: number) {
    this.words = new Uint32Array(count);
  }
  set(at: number, value: number): this {
    this.words[at] = value;
    return this;
  }
  set64(at: number, value: number): this {
    layout.put64(this.words, at, value);
    return this;
  }
  text(text: ByteString): this {
    return this.bytes(Buffer.from(`${text}\0`, 'latin1'));
  }
  bytes(bytes: Uint8Array): this {
    this.tail = Buffer.concat([this.tail, bytes]);
    return this;
  }
  done(): Buffer {
    return Buffer.concat([Buffer.from(this.words.buffer), this.tail]);
  }
}

interface Waiting {
  resolve(body: Buffer): void;
  reject(error: Error): void;
  readonly what: string;
}

export class FuseWire {
  /** Who the requests come from. */
  caller = { uid: 0, gid: 0, pid: 1 };
  umask = 0;
  /** Notices that came, whole messages. */
  readonly notices: Buffer[] = [];
  readonly channel: MemoryChannel;
  readonly session: Session;
  /** Settles when the session has ended. */
  readonly ended: Promise<void>;
  init: Buffer = Buffer.alloc(0);
  private readonly waiting = new Map<number, Waiting>();
  private unique = 0;

  constructor(fs: FileSystem, options: WireOptions = {}) {
    this.channel = new MemoryChannel({
      onMessage: message => this.arrived(message),
      ...(options.fakeBacking === undefined ? {} : { backing: options.fakeBacking }),
      ...(options.ring === undefined ? {} : { ring: options.ring }),
    });
    this.session = new Session(fs, this.channel, options);
    this.ended = this.session.serve();
  }

  /** Bytes of a request, with its header. */
  encode(opcode: number, nodeid: number, body: Buffer, unique: number): Buffer {
    const { IN_HEADER } = layout;
    const words = new Uint32Array(IN_HEADER.words);
    words[IN_HEADER.len] = IN_HEADER.words * 4 + body.length;
    words[IN_HEADER.opcode] = opcode;
    layout.put64(words, IN_HEADER.unique, unique);
    layout.put64(words, IN_HEADER.nodeid, nodeid);
    words[IN_HEADER.uid] = this.caller.uid;
    words[IN_HEADER.gid] = this.caller.gid;
    words[IN_HEADER.pid] = this.caller.pid;
    return Buffer.concat([Buffer.from(words.buffer), body]);
  }

  /** Sends a request and resolves to the body of its answer. */
  call(opcode: number, nodeid: number, body: Buffer = Buffer.alloc(0)): Promise<Buffer> {
    this.unique += 2;
    const unique = this.unique;
    return new Promise((resolve, reject) => {
      const what = `${Object.entries(OP).find(([, code]) => code === opcode)?.[0] ?? opcode} node ${nodeid}`;
      this.waiting.set(unique, { resolve, reject, what });
      this.channel.deliver(this.encode(opcode, nodeid, body, unique));
    });
  }

  /** Sends requests that come together, and resolves to the bodies of their answers. */
  callAll(
    ...requests: readonly (readonly [opcode: number, nodeid: number, body: Buffer])[]
  ): Promise<Buffer[]> {
    const messages: Buffer[] = [];
    const answers = requests.map(([opcode, nodeid, body]) => {
      this.unique += 2;
      const unique = this.unique;
      messages.push(this.encode(opcode, nodeid, body, unique));
      return new Promise<Buffer>((resolve, reject) => {
        this.waiting.set(unique, { resolve, reject, what: `${opcode} node ${nodeid}` });
      });
    });
    this.channel.deliver(...messages);
    return Promise.all(answers);
  }

  /** Sends a request that has no answer. */
  send(opcode: number, nodeid: number, body: Buffer): void {
    this.unique += 2;
    this.channel.deliver(this.encode(opcode, nodeid, body, this.unique));
  }

  private arrived(message: Buffer): void {
    const unique = message.readUInt32LE(8) + message.readUInt32LE(12) * HIGH;
    if (unique === 0) {
      this.notices.push(message);
      return;
    }
    const waiting = this.waiting.get(unique);
    if (waiting === undefined) throw new Error(`an answer to request ${unique}, which nobody made`);
    this.waiting.delete(unique);
    const error = message.readInt32LE(4);
    if (message.readUInt32LE(0) !== message.length)
      waiting.reject(new Error(`${waiting.what}: wrong length`));
    else if (error === 0) waiting.resolve(message.subarray(16));
    else waiting.reject(new SysError(-error, waiting.what));
  }

  async initialise(minor = protocol.MINOR_MAX, flags = allFlags()): Promise<Buffer> {
    const { INIT_IN } = layout;
    const body = new Body(INIT_IN.words)
      .set(INIT_IN.major, protocol.MAJOR)
      .set(INIT_IN.minor, minor)
      .set(INIT_IN.maxReadahead, 131072)
      .set(INIT_IN.flags, flags[0])
      .set(INIT_IN.flags2, flags[1]);
    this.init = await this.call(OP.INIT, 0, body.done());
    return this.init;
  }

  async lookup(parent: number, name: ByteString): Promise<EntryOut> {
    return entryOf(await this.call(OP.LOOKUP, parent, new Body(0).text(name).done()));
  }

  forget(nodeid: number, count: number): void {
    this.send(OP.FORGET, nodeid, new Body(2).set64(0, count).done());
  }

  batchForget(list: readonly (readonly [nodeid: number, count: number])[]): void {
    const body = new Body(layout.BATCH_FORGET_IN.words + list.length * 4).set(0, list.length);
    for (const [i, [nodeid, count]] of list.entries()) body.set64(2 + i * 4, nodeid).set64(4 + i * 4, count);
    this.send(OP.BATCH_FORGET, 0, body.done());
  }

  async getattr(nodeid: number, fh?: number): Promise<Attr> {
    const body = new Body(layout.GETATTR_IN.words).set(0, fh === undefined ? 0 : 1).set64(2, fh ?? 0);
    return attrOf(await this.call(OP.GETATTR, nodeid, body.done()), layout.ATTR_OUT.attr);
  }

  async setattr(nodeid: number, change: SetAttr): Promise<Attr> {
    const { SETATTR_IN: at } = layout;
    const body = new Body(at.words);
    let valid = change.kill === true ? FATTR.KILL_SUIDGID : 0;
    const put = (bit: number, value: number | undefined, w: number, wide = false): void => {
      if (value === undefined) return;
      valid |= bit;
      if (wide) body.set64(w, value);
      else body.set(w, value);
    };
    put(FATTR.MODE, change.mode, at.mode);
    put(FATTR.UID, change.uid, at.uid);
    put(FATTR.GID, change.gid, at.gid);
    put(FATTR.SIZE, change.size, at.size, true);
    put(FATTR.FH, change.fh, at.fh, true);
    const time = (value: SetAttr['atime'], bit: number, now: number, sec: number, nsec: number): void => {
      if (value === 'now') valid |= bit | now;
      else if (value !== undefined) {
        put(bit, value.sec, sec, true);
        put(bit, value.nsec, nsec);
      }
    };
    time(change.atime, FATTR.ATIME, FATTR.ATIME_NOW, at.atime, at.atimeNsec);
    time(change.mtime, FATTR.MTIME, FATTR.MTIME_NOW, at.mtime, at.mtimeNsec);
    return attrOf(
      await this.call(OP.SETATTR, nodeid, body.set(at.valid, valid).done()),
      layout.ATTR_OUT.attr,
    );
  }

  async make(opcode: number, parent: number, body: Body): Promise<EntryOut> {
    return entryOf(await this.call(opcode, parent, body.done()));
  }

  async open(nodeid: number, flags: number, openFlags = 0): Promise<OpenOut> {
    return openOf(await this.call(OP.OPEN, nodeid, new Body(2).set(0, flags).set(1, openFlags).done()), 0);
  }

  async create(
    opcode: number,
    parent: number,
    name: ByteString,
    mode: number,
    flags: number,
  ): Promise<[EntryOut, OpenOut]> {
    const { CREATE_IN: at } = layout;
    const body = new Body(at.words)
      .set(at.flags, flags)
      .set(at.mode, mode)
      .set(at.umask, this.umask)
      .text(name);
    const reply = await this.call(opcode, parent, body.done());
    return [entryOf(reply), openOf(reply, layout.ENTRY_OUT.words)];
  }

  read(nodeid: number, fh: number, offset: number, size: number, opcode: number = OP.READ): Promise<Buffer> {
    const { READ_IN: at } = layout;
    const body = new Body(at.words).set64(at.fh, fh).set64(at.offset, offset).set(at.size, size);
    return this.call(opcode, nodeid, body.done());
  }

  async write(nodeid: number, fh: number, offset: number, data: Uint8Array, flags = 0): Promise<number> {
    const { WRITE_IN: at } = layout;
    const body = new Body(at.words).set64(at.fh, fh).set64(at.offset, offset).set(at.size, data.length);
    return (
      await this.call(OP.WRITE, nodeid, body.set(at.writeFlags, flags).bytes(data).done())
    ).readUInt32LE(0);
  }

  async release(nodeid: number, fh: number, directory = false): Promise<void> {
    const body = new Body(layout.RELEASE_IN.words).set64(0, fh);
    await this.call(directory ? OP.RELEASEDIR : OP.RELEASE, nodeid, body.done());
  }

  /** One READDIR or READDIRPLUS request's worth. */
  async readdir(nodeid: number, fh: number, offset: number, size: number, plus: boolean): Promise<Dirent[]> {
    const reply = await this.read(nodeid, fh, offset, size, plus ? OP.READDIRPLUS : OP.READDIR);
    const entries: Dirent[] = [];
    for (let at = 0; at < reply.length; ) {
      const entry = plus ? entryOf(reply.subarray(at)) : undefined;
      if (plus) at += layout.ENTRY_OUT.words * 4;
      const length = reply.readUInt32LE(at + 16);
      entries.push({
        ino: u64(reply, at),
        next: u64(reply, at + 8),
        type: reply.readUInt32LE(at + 20),
        name: reply.toString('latin1', at + 24, at + 24 + length),
        ...(entry === undefined ? {} : { entry }),
      });
      at += layout.align8(24 + length);
    }
    return entries;
  }

  /** Ends the conversation as an unmount does; resolves when the file system has been destroyed. */
  async unmount(): Promise<void> {
    if (this.waiting.size > 0) throw new SysError(E.EBUSY, 'unmount');
    this.channel.close();
    await this.ended;
  }
}

export function u64(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * HIGH;
}

function i64(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at) + bytes.readInt32LE(at + 4) * HIGH;
}

/** The attributes at word `w` of a reply. */
export function attrOf(reply: Buffer, w: number): Attr {
  const { ATTR } = layout;
  const word = (at: number): number => reply.readUInt32LE((w + at) * 4);
  const wide = (at: number): number => u64(reply, (w + at) * 4);
  const time = (at: number): number => i64(reply, (w + at) * 4);
  return {
    ino: wide(ATTR.ino),
    size: wide(ATTR.size),
    blocks: wide(ATTR.blocks),
    atime: time(ATTR.atime),
    mtime: time(ATTR.mtime),
    ctime: time(ATTR.ctime),
    atimeNsec: word(ATTR.atimeNsec),
    mtimeNsec: word(ATTR.mtimeNsec),
    ctimeNsec: word(ATTR.ctimeNsec),
    mode: word(ATTR.mode),
    nlink: word(ATTR.nlink),
    uid: word(ATTR.uid),
    gid: word(ATTR.gid),
    rdevMajor: layout.deviceMajor(word(ATTR.rdev)),
    rdevMinor: layout.deviceMinor(word(ATTR.rdev)),
    blksize: word(ATTR.blksize),
  };
}

function entryOf(reply: Buffer): EntryOut {
  const { ENTRY_OUT } = layout;
  return {
    nodeid: u64(reply, ENTRY_OUT.nodeid * 4),
    generation: u64(reply, ENTRY_OUT.generation * 4),
    entryValid: u64(reply, ENTRY_OUT.entryValid * 4),
    attr: attrOf(reply, ENTRY_OUT.attr),
  };
}

function openOf(reply: Buffer, w: number): OpenOut {
  const { OPEN_OUT } = layout;
  return {
    fh: u64(reply, (w + OPEN_OUT.fh) * 4),
    flags: reply.readUInt32LE((w + OPEN_OUT.flags) * 4),
    backing: reply.readInt32LE((w + OPEN_OUT.backing) * 4),
  };
}
