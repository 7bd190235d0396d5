// Where `lamina-mount` comes to: takes connections, lets each of them have its mount, and gives the socket's name up when there
// has been nothing to do for a while. Names in the socket's directory are given and taken by whoever holds the lock there.
import { lstatSync, readdirSync, unlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { E, errnoName, fromText } from '../base/index.js';
import { acceptSocket, close, connectUnix, flock, LOCK, O, openPath, watchReadable } from '../sys/index.js';
import { Conversation } from './mounts-request.js';
import type { SharedMounts } from './mounts-shared.js';
import { describe } from './output.js';

/** What native/mount-client.cc calls the lock, and a socket. */
const LOCK_NAME = 'lock';
const SOCKET_NAME = /^[0-9a-f]{32}$/;
/** Milliseconds without a mount and without anybody who wants one. */
const IDLE = 10_000;
const READABLE = 1;
const OWNER_ONLY = 0o600;
/** Milliseconds until the next look, when a connection could not be taken. */
const PAUSE = 200;
/** Conversations at a time; more wait in the kernel. */
const MOST = 64;

export class MountsListener {
  private readonly ino: number | undefined;
  private readonly watch;
  private talking = 0;
  private listening = true;
  private idle: NodeJS.Timeout | undefined;

  /** Takes over `fd`, which listens at `path`. */
  constructor(
    private readonly fd: number,
    private readonly path: string,
    private readonly mounts: SharedMounts,
    private readonly log: (text: string) => void,
  ) {
    this.ino = inodeOf(path);
    this.watch = watchReadable(fd, () => this.acceptAll());
    mounts.onIdle = () => this.rest();
    this.rest();
  }

  /** Takes no new callers; those who came in time are served. */
  leave(): void {
    if (!this.listening) return;
    const lock = this.lock();
    if (lock < 0) {
      this.stop();
      return;
    }
    try {
      if (this.ino !== undefined && inodeOf(this.path) === this.ino) unlinkSync(this.path);
      this.stop();
      this.tidy();
    } finally {
      close(lock);
    }
  }

  private stop(): void {
    this.listening = false;
    clearTimeout(this.idle);
    this.watch.stop();
    // Whoever connected before the name went is in the queue.
    this.acceptAll();
    close(this.fd);
  }

  /** Removes the names that processes have left which were killed. */
  private tidy(): void {
    const dir = dirname(this.path);
    for (const name of readdirSync(dir)) {
      if (!SOCKET_NAME.test(name)) continue;
      const fd = connectUnix(fromText(join(dir, name)));
      if (fd >= 0) close(fd);
      else if (fd === -E.ECONNREFUSED) unlinkSync(join(dir, name));
    }
  }

  /** The lock, or -errno: -EAGAIN when somebody has it, who gives a name away, perhaps to connect to us. */
  private lock(): number {
    const fd = openPath(
      fromText(join(dirname(this.path), LOCK_NAME)),
      O.RDWR | O.CREAT | O.NOFOLLOW,
      OWNER_ONLY,
    );
    const rc = fd < 0 ? fd : flock(fd, LOCK.EX | LOCK.NB);
    if (fd >= 0 && rc < 0) close(fd);
    return rc < 0 ? rc : fd;
  }

  /** Begins to wait for the end, if there is nothing to do. */
  private rest(): void {
    clearTimeout(this.idle);
    if (!this.listening || this.talking > 0 || this.mounts.size > 0) return;
    this.idle = setTimeout(() => this.leaveUnlessWanted(), IDLE);
  }

  private leaveUnlessWanted(): void {
    const lock = this.lock();
    if (lock >= 0) close(lock);
    if (lock === -E.EAGAIN) this.rest();
    else this.leave();
  }

  private acceptAll(): void {
    while (this.talking < MOST || !this.listening) {
      const fd = acceptSocket(this.fd);
      if (fd === -E.EAGAIN) return;
      if (fd < 0) {
        this.pause(fd);
        return;
      }
      void this.talk(fd);
    }
    this.watch.want(0);
  }

  /** There are no descriptors left, most likely: whoever waits is looked at again when there may be. */
  private pause(rc: number): void {
    this.log(`accept: ${errnoName(-rc)}`);
    this.watch.want(0);
    setTimeout(() => {
      if (this.listening) this.watch.want(READABLE);
    }, PAUSE).unref();
  }

  private async talk(fd: number): Promise<void> {
    this.talking++;
    clearTimeout(this.idle);
    const conversation = new Conversation(fd);
    try {
      await this.converse(conversation);
    } catch (error) {
      conversation.answer('failed', `lamina: ${describe(error)}\n`);
      this.log(describe(error));
    } finally {
      conversation.close();
      this.talking--;
      if (this.listening) this.watch.want(READABLE);
      this.rest();
    }
  }

  private async converse(conversation: Conversation): Promise<void> {
    const request = await conversation.request();
    if (request === null) return void conversation.answer('elsewhere');
    const mounted = await this.mounts.mount(request, () => conversation.gone());
    if (mounted === null) return void conversation.answer('elsewhere');
    const notes = mounted.notes.map(note => `lamina: note: ${note}\n`);
    // Whoever asked for the mount has gone, and would not know of it.
    if (!conversation.answer('done', notes.join(''))) await mounted.unmount();
  }
}

function inodeOf(path: string): number | undefined {
  return lstatSync(path, { throwIfNoEntry: false })?.ino;
}
