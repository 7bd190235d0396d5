// Encodes READDIR and READDIRPLUS entries into the reply at hand while the file system names them. A full buffer ends the
// listing for this request; the kernel asks again from the last `next`.
import { type ByteString, modeToType, type Stat } from '../base/index.js';
import { putEntry, type Validity } from './encode.js';
import type { DirSink } from './filesystem.js';
import { align8, DIRENT, ENTRY_OUT, put64 } from './layout.js';
import type { NodeTable } from './nodes.js';
import type { RawBuffer } from './raw.js';
import type { Reply } from './reply.js';

export class DirWriter<N extends object> implements DirSink<N> {
  wantsNodes = false;
  /** Bytes written so far. */
  length = 0;
  private buffer!: RawBuffer;
  private words!: Uint32Array;
  private from = 0;
  private size = 0;

  constructor(
    private readonly nodes: NodeTable<N>,
    private readonly valid: Validity,
  ) {}

  /** Starts a listing of at most `size` bytes in the reply at hand, whose place must have been reserved. */
  begin(reply: Reply, size: number, wantsNodes: boolean): void {
    this.buffer = reply.buffer;
    this.words = reply.words;
    this.from = reply.at;
    this.size = size;
    this.length = 0;
    this.wantsNodes = wantsNodes;
  }

  entry(name: ByteString, ino: number, type: number, next: number): boolean {
    const prefix = this.wantsNodes ? ENTRY_OUT.words : 0;
    if (!this.fits(prefix, name)) return false;
    const w = (this.from + this.length) >> 2;
    // Node id 0: no lookup has been done for this entry.
    if (this.wantsNodes) this.words.fill(0, w, w + prefix);
    this.put(w + prefix, name, ino, type, next);
    return true;
  }

  plus(name: ByteString, node: N, stat: Stat, next: number): boolean {
    const type = modeToType(stat.mode);
    if (!this.wantsNodes) return this.entry(name, stat.ino, type, next);
    if (!this.fits(ENTRY_OUT.words, name)) return false;
    const w = (this.from + this.length) >> 2;
    const id = this.nodes.remember(node);
    putEntry(this.words, w, id, this.nodes.generation(id), this.valid, stat);
    this.put(w + ENTRY_OUT.words, name, stat.ino, type, next);
    return true;
  }

  private fits(prefix: number, name: ByteString): boolean {
    return this.length + align8((prefix + DIRENT.words) * 4 + name.length) <= this.size;
  }

  private put(w: number, name: ByteString, ino: number, type: number, next: number): void {
    const { words, buffer } = this;
    const length = name.length;
    put64(words, w + DIRENT.ino, ino);
    put64(words, w + DIRENT.next, next);
    words[w + DIRENT.namelen] = length;
    words[w + DIRENT.type] = type;
    const at = (w + DIRENT.words) * 4;
    // Entries are aligned to the start of the body, which itself is only on a word.
    const end = this.from + align8(at + length - this.from);
    // Zero the last 8 bytes first: the padding must not carry old replies to whoever reads the directory.
    if (end > at) words[(end >> 2) - 2] = words[(end >> 2) - 1] = 0;
    buffer.latin1Write(name, at);
    this.length = end - this.from;
  }
}
