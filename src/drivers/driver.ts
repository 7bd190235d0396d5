// What `lamina serve` knows of a driver: it listens, and it stops.

/** A driver that serves its protocol. */
export interface Driver {
  /** Where it listens. */
  readonly address: string;
  /** Takes no more calls, waits for those under way, and lets go of its socket. */
  close(): Promise<void>;
}

/** A socket that listens already. */
export interface Listening {
  readonly path: string;
  /** The driver closes it. */
  readonly fd: number;
  /** Removes the socket file. */
  unlink(): void;
}

/** For who wants to see what goes on. */
export interface DriverObserver {
  /** A call has ended: `error` says how it failed, or null. */
  call?(method: string, milliseconds: number, error: unknown): void;
  /** A call that had been given up has ended after so long: `error` says how it failed, or null. */
  late?(method: string, milliseconds: number, error: unknown): void;
  /** A defect: the call was answered with an error because of it. */
  defect?(error: unknown, method: string): void;
}
