// Where clients come in: a unix socket that only its owner can open, or a TCP port.
import { lookup } from 'node:dns/promises';
import { E, ok, SysError } from '../base/index.js';
import {
  acceptSocket,
  close,
  listenAtPath,
  listenTcp,
  native,
  socketPort,
  type UnixListener,
  type Watch,
} from '../sys/index.js';

export type Address = { readonly path: string } | { readonly host?: string; readonly port: number };

const LOOPBACK = '127.0.0.1';
/** Without descriptors a connection waits in the queue; nothing says when there are some again. Milliseconds. */
const RETRY_MILLISECONDS = 250;

export class Listener {
  private watch: Watch | undefined;
  private retry: NodeJS.Timeout | undefined;
  private closed = false;

  private constructor(
    private readonly fd: number,
    private readonly accepted: (fd: number) => void,
    /** The TCP port, or 0. */
    readonly port: number,
    private readonly file: UnixListener | null,
  ) {
    this.resume();
  }

  /** SysError when it cannot be listened there. `accepted` takes over the descriptor of each connection. */
  static async open(address: Address, accepted: (fd: number) => void): Promise<Listener> {
    if ('path' in address) {
      const file = listenAtPath(address.path);
      return new Listener(file.fd, accepted, 0, file);
    }
    const host = address.host ?? LOOPBACK;
    const numeric = await lookup(host).catch(() => {
      throw new SysError(E.EADDRNOTAVAIL, `listen on '${host}': no such host`);
    });
    const fd = ok(listenTcp(numeric.address, address.port), `listen on ${host} port ${address.port}`);
    return new Listener(fd, accepted, socketPort(fd), null);
  }

  /** Accepts connections again. */
  resume(): void {
    if (this.closed || this.watch !== undefined) return;
    clearTimeout(this.retry);
    this.watch = native.watchReadable(this.fd, () => this.accept());
  }

  /** Leaves connections in the queue until `resume`. */
  pause(): void {
    this.watch?.stop();
    this.watch = undefined;
  }

  /** Accepts no more, and removes the socket file if it is still this one's. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    clearTimeout(this.retry);
    this.pause();
    this.file?.unlink();
    close(this.fd);
  }

  private accept(): void {
    while (this.watch !== undefined) {
      const fd = acceptSocket(this.fd);
      if (fd >= 0) {
        this.accepted(fd);
      } else if (fd === -E.EMFILE || fd === -E.ENFILE || fd === -E.ENOBUFS || fd === -E.ENOMEM) {
        this.pause();
        this.retry = setTimeout(() => this.resume(), RETRY_MILLISECONDS);
      } else if (fd !== -E.ECONNABORTED) {
        return;
      }
    }
  }
}
