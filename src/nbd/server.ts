// The NBD server: exports by name, on any number of addresses, for any number of clients up to a limit.

import { Connection, type ConnectionHost } from './connection.js';
import type { NbdExport } from './export.js';
import { type Address, Listener } from './listener.js';
import { SlabPool } from './slab.js';

/** A connection looks for its next request this long before it sleeps: waking a thread costs more than the answer. */
const SPIN_MICROSECONDS = 40;
/** After so many looks in vain the server does without for so many. */
const VAIN_LOOKS = 4;
const PAUSED_LOOKS = 32;

export interface NbdServerOptions {
  /** Clients at a time; more wait to be accepted. Default 256. */
  readonly maxConnections?: number;
  /** How long `close` waits for clients that do not read their answers, in milliseconds. Default 5000. */
  readonly drainMilliseconds?: number;
  /** Takes failures that no client is told of: devices that do not open or close, and defects. */
  readonly onError?: (error: unknown) => void;
}

export class NbdServer {
  private readonly pool = new SlabPool();
  private readonly connections = new Set<Connection>();
  private readonly listeners: Listener[] = [];
  private readonly host: ConnectionHost;
  private readonly maxConnections: number;
  private last: Connection | null = null;
  private vain = 0;
  private paused = 0;
  private closed: Promise<void> | undefined;
  private idle: (() => void) | undefined;

  /** `exports` is asked whenever a client asks; the first one is also the default. */
  constructor(
    exports: () => readonly NbdExport[],
    private readonly options: NbdServerOptions = {},
  ) {
    this.maxConnections = options.maxConnections ?? 256;
    this.host = {
      pool: this.pool,
      exports,
      spin: connection => this.spin(connection),
      looked: found => this.looked(found),
      report: error => options.onError?.(error),
      ended: connection => this.ended(connection),
    };
  }

  /** Clients that are connected. */
  get connected(): number {
    return this.connections.size;
  }

  /** Bytes of memory for requests and answers that are in use; 0 when nobody is doing anything. */
  get memory(): number {
    return this.pool.used;
  }

  /** The port of the first TCP address, or 0. */
  get port(): number {
    return this.listeners.find(each => each.port > 0)?.port ?? 0;
  }

  /** Takes clients there. SysError EADDRINUSE when another server does, ENAMETOOLONG, EACCES and so on. */
  async listen(address: Address): Promise<void> {
    const listener = await Listener.open(address, fd => this.accept(fd));
    this.listeners.push(listener);
    if (this.closed !== undefined) listener.close();
  }

  /** Finishes what is in flight, sends the answers, closes all devices and removes the socket files. */
  close(): Promise<void> {
    this.closed ??= this.shutDown();
    return this.closed;
  }

  private async shutDown(): Promise<void> {
    for (const listener of this.listeners) listener.close();
    if (this.connections.size === 0) return;
    const over = new Promise<void>(resolve => {
      this.idle = resolve;
    });
    for (const connection of this.connections) connection.end();
    const limit = setTimeout(() => {
      for (const connection of this.connections) connection.drop();
    }, this.options.drainMilliseconds ?? 5000);
    await over;
    clearTimeout(limit);
  }

  private accept(fd: number): void {
    this.connections.add(new Connection(fd, this.host));
    if (this.connections.size >= this.maxConnections) for (const listener of this.listeners) listener.pause();
  }

  private ended(connection: Connection): void {
    this.connections.delete(connection);
    if (this.last === connection) this.last = null;
    if (this.connections.size === 0) this.idle?.();
    for (const listener of this.listeners) listener.resume();
  }

  /** Only who was the last to be served looks, so that several clients do not wait for each other's looks. */
  private spin(connection: Connection): number {
    if (this.last !== connection) {
      this.last = connection;
      return 0;
    }
    if (this.paused === 0) return SPIN_MICROSECONDS;
    this.paused--;
    return 0;
  }

  private looked(found: boolean): void {
    this.vain = found ? 0 : this.vain + 1;
    if (this.vain < VAIN_LOOKS) return;
    this.vain = 0;
    this.paused = PAUSED_LOOKS;
  }
}
