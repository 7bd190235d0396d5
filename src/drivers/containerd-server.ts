// gRPC on a unix socket for containerd's snapshotter: a table of calls, and one mapping of errors.
// A Go client that dials a bare path sends it as :authority, which Node's HTTP/2 refuses; containerd does not do so.
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { handleServerStreamingCall, handleUnaryCall, UntypedServiceImplementation } from '@grpc/grpc-js';
import { E, SysError } from '../base/index.js';
import { type Calls, descriptor, SERVICE, STREAMED } from './containerd-schema.js';
import type { SnapshotTable } from './containerd-snapshots.js';
import type { Driver, DriverObserver, Listening } from './driver.js';
import type { CallLimit } from './limit.js';

/** gRPC's status codes, from its specification. */
const STATUS = {
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  UNIMPLEMENTED: 12,
  DATA_LOSS: 15,
} as const;

const STATUS_OF: ReadonlyMap<number, number> = new Map([
  [E.ENOENT, STATUS.NOT_FOUND],
  [E.EEXIST, STATUS.ALREADY_EXISTS],
  [E.EINVAL, STATUS.INVALID_ARGUMENT],
  [E.ENAMETOOLONG, STATUS.INVALID_ARGUMENT],
  [E.EPERM, STATUS.FAILED_PRECONDITION],
  [E.ENOTEMPTY, STATUS.FAILED_PRECONDITION],
  [E.EBUSY, STATUS.FAILED_PRECONDITION],
  [E.ENOSPC, STATUS.RESOURCE_EXHAUSTED],
  [E.EDQUOT, STATUS.RESOURCE_EXHAUSTED],
  [E.EMFILE, STATUS.RESOURCE_EXHAUSTED],
  [E.ENFILE, STATUS.RESOURCE_EXHAUSTED],
  [E.ENOMEM, STATUS.RESOURCE_EXHAUSTED],
  [E.ENOTSUP, STATUS.UNIMPLEMENTED],
  [E.EUCLEAN, STATUS.DATA_LOSS],
  [E.ETIMEDOUT, STATUS.DEADLINE_EXCEEDED],
]);

/** The status of an error for containerd. */
export function statusOf(error: unknown): { code: number; details: string } {
  const code = error instanceof SysError ? STATUS_OF.get(error.errno) : undefined;
  return { code: code ?? STATUS.UNKNOWN, details: error instanceof Error ? error.message : String(error) };
}

/** What containerd's clients take at most (bytes). */
const LARGEST_MESSAGE = 16 << 20;

/** Serves `table`. */
export async function serveSnapshots(
  socket: Listening,
  table: SnapshotTable,
  observer: DriverObserver,
  limit: CallLimit,
): Promise<Driver> {
  // They take long to load, and only who serves containerd needs them.
  const { Server, ServerCredentials } = await import('@grpc/grpc-js');
  const { fromJSON } = await import('@grpc/proto-loader');
  const names = Object.keys(table) as (keyof Calls)[];
  const definition = fromJSON(descriptor(names), {
    ...{ keepCase: true, longs: Number, defaults: true, arrays: true, objects: true },
  })[SERVICE];
  const server = new Server({
    'grpc.max_receive_message_length': LARGEST_MESSAGE,
    'grpc.max_send_message_length': LARGEST_MESSAGE,
  });
  server.addService(definition as Parameters<typeof server.addService>[0], implement(table, observer, limit));
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  const door = createServer(connection => injector.injectConnection(connection));
  door.listen({ fd: socket.fd });
  await once(door, 'listening');
  return {
    address: `unix://${socket.path}`,
    async close() {
      socket.unlink();
      door.close();
      // Calls that are under way are answered; connections end with their last call.
      await new Promise<void>((resolve, reject) => {
        server.tryShutdown(error => (error === undefined ? resolve() : reject(error)));
      });
    },
  };
}

/** Removal takes as long as there is to remove. */
const UNLIMITED: ReadonlySet<keyof Calls> = new Set(['Cleanup']);
/** What makes a snapshot: who gets an error has none. */
const MAKES: ReadonlySet<keyof Calls> = new Set(['Prepare', 'View']);

/** A row of the table, whichever: the library has decoded what it gets. */
type Handler = (request: unknown) => Promise<object> | Iterable<object>;

/** The table as gRPC's library takes it. */
function implement(
  table: SnapshotTable,
  observer: DriverObserver,
  limit: CallLimit,
): UntypedServiceImplementation {
  const handlers = Object.entries(table) as [keyof Calls, Handler][];
  const limited =
    (name: keyof Calls, handler: Handler): Handler =>
    request => {
      const work = handler(request) as Promise<object>;
      if (UNLIMITED.has(name)) return work;
      const { key } = request as { key?: string };
      const begun = performance.now();
      return limit.run(`${name} ${key ?? ''}`.trim(), work, {
        undo: async () => MAKES.has(name) && table.Remove({ key: key ?? '' }),
        ended: error => observer.late?.(name, performance.now() - begun, error),
      });
    };
  return Object.fromEntries(
    handlers.map(([name, handler]) => {
      const note = noting(name, observer);
      return [name, STREAMED.has(name) ? streamed(handler, note) : unary(limited(name, handler), note)];
    }),
  );
}

/** Begins to observe a call; what it returns is called when the call has ended, with its error or null. */
type Note = () => (error: unknown) => void;

function noting(name: string, observer: DriverObserver): Note {
  return () => {
    const begun = performance.now();
    return error => {
      if (error !== null && !(error instanceof SysError)) observer.defect?.(error, name);
      observer.call?.(name, performance.now() - begun, error);
    };
  };
}

function unary(handler: Handler, note: Note): handleUnaryCall<unknown, object> {
  return async (call, answer) => {
    const ended = note();
    try {
      answer(null, await (handler(call.request) as Promise<object>));
      ended(null);
    } catch (error) {
      answer(statusOf(error));
      ended(error);
    }
  };
}

/** All is there before it is sent: a list of what was at one moment. */
function streamed(handler: Handler, note: Note): handleServerStreamingCall<unknown, object> {
  return call => {
    const ended = note();
    try {
      for (const message of handler(call.request) as Iterable<object>) call.write(message);
      call.end();
      ended(null);
    } catch (error) {
      call.emit('error', statusOf(error));
      ended(error);
    }
  };
}
