// The owner's end of a pool's control socket DIR/control.sock (mode 0600): any number of clients, one operation each. A client
// that talks nonsense is cut off; one that goes away takes its operation with it; nobody holds up anybody else.
import { chmodSync, closeSync, openSync, renameSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { E, SysError } from '../base/index.js';
import { Conversation, type Host } from './control-conversation.js';

export const CONTROL_SOCKET = 'control.sock';

/** Milliseconds that a client has to read its answer when the owner ends. */
const LAST_WORDS = 5000;

/**
 * Gives `body` a short path of a file in `dir`, good until it returns: a socket's address has 107 bytes, and the
 * directory's path may be longer.
 */
export function withShortPath<T>(dir: string, name: string, body: (path: string) => T): T {
  const fd = openSync(dir, 'r');
  try {
    return body(`/proc/self/fd/${fd}/${name}`);
  } finally {
    closeSync(fd);
  }
}

/** Serves operations on a subject that this process has for itself. */
export class ControlServer<Subject> {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #running = new Map<Conversation<Subject>, Promise<void>>();
  #closed: Promise<void> | null = null;

  private constructor(
    private readonly dir: string,
    private readonly host: Host<Subject>,
  ) {
    this.#server = createServer(socket => void this.#accept(socket));
  }

  /** Listens in `dir`, whose lock the caller has: a socket that is there is one whose process has died, and is replaced. */
  static async listen<Subject>(dir: string, host: Host<Subject>): Promise<ControlServer<Subject>> {
    const control = new ControlServer(dir, host);
    // The name appears when the socket listens and only its owner may connect.
    const fresh = `${CONTROL_SOCKET}.${process.pid}`;
    rmSync(join(dir, fresh), { force: true });
    await control.#listen(fresh);
    chmodSync(join(dir, fresh), 0o600);
    renameSync(join(dir, fresh), join(dir, CONTROL_SOCKET));
    control.#server.on('error', error => host.defect(error, 'control socket'));
    return control;
  }

  /** Clients' operations that run now. */
  get running(): number {
    return this.#running.size;
  }

  /** Resolves when no client's operation runs any more; new ones may begin. */
  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running.values());
  }

  /** Takes no more clients; resolves when the operations of those that are there have ended. `abort`: they end now. */
  close(abort: boolean): Promise<void> {
    this.#closed ??= this.#close();
    const why = new SysError(E.ECANCELED, 'the process that has the pool is ending');
    if (abort) for (const conversation of this.#running.keys()) conversation.abort(why);
    return this.#closed;
  }

  #listen(name: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.once('listening', () => {
        this.#server.off('error', reject);
        resolve();
      });
      withShortPath(this.dir, name, path => {
        const umask = process.umask(0o177);
        try {
          this.#server.listen(path);
        } finally {
          process.umask(umask);
        }
      });
    });
  }

  async #close(): Promise<void> {
    rmSync(join(this.dir, CONTROL_SOCKET), { force: true });
    const closed = new Promise<void>(resolve => this.#server.close(() => resolve()));
    await this.idle();
    for (const socket of this.#sockets) socket.destroySoon();
    const bound = setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy();
    }, LAST_WORDS);
    await closed;
    clearTimeout(bound);
  }

  async #accept(socket: Socket): Promise<void> {
    const conversation = new Conversation(socket, this.host);
    this.#sockets.add(socket);
    // A write to a client that has gone: noticed where the operation writes, and by the end of what it reads.
    socket.on('error', () => socket.destroy());
    socket.once('close', () => {
      this.#sockets.delete(socket);
      conversation.abort(new SysError(E.ECANCELED, 'the client has gone'));
    });
    try {
      const request = await conversation.request();
      // Not begun, so the client may ask again, of whoever has the pool next.
      if (request === null || this.#closed !== null) return void socket.destroy();
      const over = conversation.run(request.name, request.operation, request.params);
      this.#running.set(conversation, over);
      await over;
    } catch (error) {
      conversation.refuse(error, 'control socket');
    } finally {
      this.#running.delete(conversation);
      socket.end();
    }
  }
}
