// Tells the kernel what it did not ask. Attribute notices take no lock and leave with the replies. The others may wait for
// a directory or page that some caller of ours has locked while it waits for our answer, so they are written aside, one
// at a time and in order, never on the thread that answers.
import type { ByteString } from '../base/index.js';
import type { Channel } from './channel.js';
import type { Notifier } from './filesystem.js';
import { INVAL_ENTRY_OUT, INVAL_INODE_OUT, OUT_HEADER, put64, STORE_OUT, wordsOf } from './layout.js';
import type { NodeTable } from './nodes.js';
import { NOTIFY } from './protocol.js';

interface Message {
  readonly buffer: Buffer;
  readonly words: Uint32Array;
  /** Where the body starts, in words. */
  readonly body: number;
}

/** A message's buffer: header with `code`, body of `bytes`. */
function message(code: number, bytes: number): Message {
  const length = OUT_HEADER.words * 4 + bytes;
  const buffer = Buffer.alloc((length + 3) & ~3).subarray(0, length);
  const words = wordsOf(Buffer.from(buffer.buffer, buffer.byteOffset, (length + 3) & ~3));
  words[OUT_HEADER.len] = length;
  words[OUT_HEADER.error] = code;
  return { buffer, words, body: OUT_HEADER.words };
}

export class KernelNotifier implements Notifier<object> {
  /** Attribute notices that wait for the end of the request at hand. */
  private readonly stale = new Set<object>();
  /** An attribute notice, and its length. */
  private readonly notice = inode(0, -1);
  private readonly noticeEnd = Int32Array.of(this.notice.buffer.length);
  private tail: Promise<void> = Promise.resolve();
  /** The message of `store`, and its length: there may be one with each open. */
  private content = message(NOTIFY.STORE, STORE_OUT.words * 4);
  private readonly contentEnd = new Int32Array(1);
  /** Notices that are still on their way. */
  pending = 0;

  /** `later` asks for a call of `flush` soon. */
  constructor(
    private readonly nodes: NodeTable<object>,
    private readonly channel: Channel,
    private readonly later: () => void,
  ) {}

  attributes(node: object): void {
    if (this.nodes.idOf(node) === 0) return;
    if (this.stale.size === 0) this.later();
    this.stale.add(node);
  }

  /** A notice of the node's attributes, if one was to go out, is not needed. */
  told(node: object): void {
    this.stale.delete(node);
  }

  data(node: object): void {
    const id = this.nodes.idOf(node);
    if (id !== 0) this.aside(inode(id, 0).buffer);
  }

  entry(parent: object, name: ByteString): void {
    const id = this.nodes.idOf(parent);
    if (id === 0) return;
    const { buffer, words, body } = message(NOTIFY.INVAL_ENTRY, INVAL_ENTRY_OUT.words * 4 + name.length + 1);
    put64(words, body + INVAL_ENTRY_OUT.parent, id);
    words[body + INVAL_ENTRY_OUT.namelen] = name.length;
    buffer.write(name, (body + INVAL_ENTRY_OUT.words) * 4, 'latin1');
    this.aside(buffer);
  }

  /** Writes the attribute notices; after the replies, which must not overtake them with older values. */
  flush(): void {
    if (this.stale.size === 0) return;
    const { buffer, words, body } = this.notice;
    for (const node of this.stale) {
      const id = this.nodes.idOf(node);
      if (id === 0) continue;
      put64(words, body + INVAL_INODE_OUT.nodeid, id);
      this.channel.write(buffer, this.noticeEnd, 1);
    }
    this.stale.clear();
  }

  /**
   * Puts the whole content of a file into the kernel's page cache, at once. Only for a node that nobody has open: a reader
   * who waits for us may hold the lock of a page.
   */
  store(id: number, data: Buffer): void {
    const at = (OUT_HEADER.words + STORE_OUT.words) * 4;
    const length = at + data.length;
    if (this.content.buffer.length < length) this.content = message(NOTIFY.STORE, length);
    const { buffer, words, body } = this.content;
    words[OUT_HEADER.len] = this.contentEnd[0] = length;
    put64(words, body + STORE_OUT.nodeid, id);
    words[body + STORE_OUT.size] = data.length;
    data.copy(buffer, at);
    this.channel.write(buffer, this.contentEnd, 1);
  }

  /** Settles when every notice that was asked for has been written. */
  idle(): Promise<void> {
    return this.tail;
  }

  private aside(buffer: Buffer): void {
    this.pending++;
    this.tail = this.tail.then(() => this.channel.writeAside(buffer)).finally(() => this.pending--);
  }
}

/** `offset` -1: attributes only; 0: all data as well. */
function inode(id: number, offset: number): Message {
  const made = message(NOTIFY.INVAL_INODE, INVAL_INODE_OUT.words * 4);
  const { words, body } = made;
  put64(words, body + INVAL_INODE_OUT.nodeid, id);
  put64(words, body + INVAL_INODE_OUT.offset, offset);
  put64(words, body + INVAL_INODE_OUT.length, 0);
  return made;
}
