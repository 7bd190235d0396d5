// One conversation with `lamina-mount` (native/mount-client.cc), over a unix stream socket. It sends a length (32 bits, little
// endian), that many bytes (three words, each ended by a NUL: a directory, options, a mount point), and with the first byte
// the mount and the user name space that it is in. It gets SEEN, a verdict, and what it is to print on its stderr.
import { E, Stat } from '../base/index.js';
import { AT, close, receive, receiveWithFds, send, socketPeer, statx, watchReadable } from '../sys/index.js';
import type { MountRequest } from './request.js';

const SEEN = 'a';
/** What came of a request. ELSEWHERE: the caller is to mount by a process of its own. */
export const VERDICT = { done: '0', failed: '1', elsewhere: 'x' } as const;
export type Verdict = keyof typeof VERDICT;

/** Three words of a command line: execve(2) takes none longer than 128 KiB. */
const MOST = 3 << 17;
const LENGTH_BYTES = 4;
/** What a socket takes at once. */
const MOST_TEXT = 1 << 16;
const WORDS = 3;
const SPACES = ['mnt', 'user'] as const;
/** Milliseconds that a caller has for its request. */
const PATIENCE = 5000;

const stat = new Stat();
const peer = new Int32Array(3);
/** What one message brings, and one more than it may. */
const came = new Int32Array(SPACES.length + 1);

export class Conversation {
  private readonly fds: number[] = [];
  private closed = false;

  /** Takes over a connected socket. */
  constructor(private readonly fd: number) {
    this.say(SEEN);
  }

  /** The request; null when this is nobody who may ask, or nothing that can be understood. */
  async request(): Promise<MountRequest | null> {
    if (socketPeer(this.fd, peer) < 0 || peer[1]! >>> 0 !== process.geteuid!()) return null;
    const message = await this.message();
    if (message === null || !this.isFromHere()) return null;
    const words = message.toString('latin1').split('\0');
    if (words.length !== WORDS + 1 || words[WORDS] !== '') return null;
    const [cwd, options, mountpoint] = words as [string, string, string];
    return { cwd, options: [options], mountpoint, source: null, debug: false };
  }

  /** Has the caller gone? It sends nothing more as long as it is there. */
  gone(): boolean {
    const got = receive(this.fd, Buffer.alloc(1), 0, 1, 0);
    return got <= 0 && got !== -E.EAGAIN;
  }

  /** Lets the caller go; false when it had gone. */
  answer(verdict: Verdict, text = ''): boolean {
    return this.say(VERDICT[verdict] + text.slice(0, MOST_TEXT));
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    for (const fd of [...this.fds, this.fd]) close(fd);
  }

  private say(text: string): boolean {
    const bytes = Buffer.from(text);
    return send(this.fd, bytes, 0, bytes.length) === bytes.length;
  }

  /** The bytes behind the length, when all are there; null when they are too many or do not come. */
  private message(): Promise<Buffer | null> {
    let buffer = Buffer.alloc(LENGTH_BYTES);
    let filled = 0;
    /** Undefined: there is more to come. */
    const more = (): Buffer | null | undefined => {
      for (;;) {
        const got = this.receive(buffer, filled);
        if (got === -E.EAGAIN) return undefined;
        if (got <= 0) return null;
        filled += got;
        if (filled < buffer.length) continue;
        if (filled > LENGTH_BYTES) return buffer.subarray(LENGTH_BYTES);
        const length = buffer.readUInt32LE(0);
        if (length === 0 || length > MOST) return null;
        buffer = Buffer.concat([buffer], LENGTH_BYTES + length);
      }
    };
    return new Promise(resolve => {
      const end = (message: Buffer | null): void => {
        clearTimeout(timer);
        watch.stop();
        resolve(message);
      };
      const timer = setTimeout(end, PATIENCE, null);
      const watch = watchReadable(this.fd, () => {
        const message = more();
        if (message !== undefined) end(message);
      });
    });
  }

  private receive(buffer: Buffer, at: number): number {
    const got = receiveWithFds(this.fd, buffer, at, buffer.length - at, came);
    for (const fd of came) if (fd >= 0) this.fds.push(fd);
    return this.fds.length > SPACES.length ? -E.EBADMSG : got;
  }

  /** Is the caller in our name spaces? What it may do there, it may let us do. */
  private isFromHere(): boolean {
    return (
      this.fds.length === SPACES.length &&
      SPACES.every((name, i) => identity(this.fds[i]!, '') === identity(AT.FDCWD, `/proc/self/ns/${name}`))
    );
  }
}

function identity(dirfd: number, path: string): string | null {
  const rc = statx(dirfd, path, path === '' ? AT.EMPTY_PATH : 0, stat.slots);
  return rc < 0 ? null : `${stat.dev}:${stat.ino}`;
}
