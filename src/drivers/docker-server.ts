// Docker's plugin protocol: HTTP on a unix socket, `POST /Interface.Method` with a JSON object, answered by one; an error is
// the field Err. One table of methods may serve several interfaces. Source: docs.docker.com/engine/extend/plugin_api, and
// what dockerd 20.10 really sends.
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { getSystemErrorMap } from 'node:util';
import { E, SysError } from '../base/index.js';
import type { Driver, DriverObserver, Listening } from './driver.js';
import type { CallLimit } from './limit.js';

/** A JSON object that came with a request. */
export type Body = Readonly<Record<string, unknown>>;

/** A call, whatever it carries. */
export interface Call {
  /** The request's JSON object; empty when the body is a stream. */
  readonly body: Body;
  readonly query: URLSearchParams;
  /** The body as it comes; it need not be read to its end. */
  readonly stream: AsyncIterable<Buffer>;
}

/** One method. The answer is a JSON object, or a stream of bytes. */
export interface Method {
  /** Its body is no JSON; it lasts as long as the body does. */
  readonly takesStream?: true;
  /** Its answer is a stream: only a status can say that it failed. */
  readonly givesStream?: true;
  /** Takes back what `run` has done for one who had been told that it failed. */
  undo?(call: Call): Promise<unknown>;
  run(call: Call): Promise<object | AsyncIterable<Buffer>>;
}

/** Methods by their path without the slash, such as GraphDriver.Get. */
export type MethodTable = Readonly<Record<string, Method>>;

/** The largest JSON body that is read (bytes). */
const LARGEST_BODY = 1 << 20;

/** Serves `methods`, and the handshake that names their interfaces. */
export async function servePlugin(
  socket: Listening,
  methods: MethodTable,
  observer: DriverObserver,
  limit: CallLimit,
): Promise<Driver> {
  const interfaces = [...new Set(Object.keys(methods).map(name => name.split('.')[0]!))];
  const table: MethodTable = {
    'Plugin.Activate': { run: async () => ({ Implements: interfaces }) },
    ...methods,
  };
  const server = createServer((request, response) => {
    void answer({ table, observer, limit }, request, response);
  });
  // An unpack takes as long as it takes, and Go's client keeps idle connections for longer than Node's default.
  server.requestTimeout = 0;
  server.headersTimeout = 0;
  server.keepAliveTimeout = 0;
  server.listen({ fd: socket.fd });
  await once(server, 'listening');
  return {
    address: `unix://${socket.path}`,
    async close() {
      socket.unlink();
      const closed = once(server, 'close');
      server.close();
      server.closeIdleConnections();
      await closed;
    },
  };
}

interface Plugin {
  readonly table: MethodTable;
  readonly observer: DriverObserver;
  readonly limit: CallLimit;
}

async function answer(plugin: Plugin, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { table, observer } = plugin;
  const url = new URL(request.url ?? '/', 'http://plugin');
  const name = url.pathname.slice(1);
  const method = request.method === 'POST' ? table[name] : undefined;
  if (method === undefined) return reply(response, 404, { Err: `no method ${name}` });
  const begun = performance.now();
  let failure: unknown = null;
  try {
    const body = method.takesStream ? {} : await readJson(request);
    // Whoever breaks off must not destroy the connection, by which the client hears why.
    const stream: AsyncIterable<Buffer> = request.iterator({ destroyOnReturn: false });
    const call = { body, query: url.searchParams, stream };
    const result = await (method.takesStream ? method.run(call) : limited(plugin, name, method, call));
    if (Symbol.asyncIterator in result) await pipeline(result, response);
    else reply(response, 200, result);
  } catch (error) {
    failure = error;
    if (!isExpected(error, request, response)) observer.defect?.(error, name);
    // A stream that has begun can only be broken off.
    if (response.headersSent) response.destroy();
    // dockerd shows an Err as it is, and with another status puts the method's name in front.
    else reply(response, method.givesStream ? 500 : 200, { Err: wordsOf(error) });
  }
  // The rest of a body that was not read to its end would block the client.
  request.resume();
  observer.call?.(name, performance.now() - begun, failure);
}

/** The method's result within the time that calls may take. */
function limited({ limit, observer }: Plugin, name: string, method: Method, call: Call) {
  const begun = performance.now();
  const { ID, Name } = call.body;
  return limit.run(`${name} ${Name ?? ID ?? ''}`.trim(), method.run(call), {
    undo: async () => method.undo?.(call),
    ended: error => observer.late?.(name, performance.now() - begun, error),
  });
}

/** Errors that are nobody's defect: of the store, of the request, and of a client that went away. */
function isExpected(error: unknown, request: IncomingMessage, response: ServerResponse): boolean {
  if (error instanceof SysError || error instanceof BadRequest) return true;
  return request.destroyed && (response.destroyed || !request.complete);
}

/** Errors whose sentence says all. */
const SAID: readonly number[] = [
  ...[E.EINVAL, E.EPERM, E.EIO, E.EBADMSG, E.ENOTEMPTY, E.EOVERFLOW, E.EOPNOTSUPP, E.ETIMEDOUT],
];

/** An error for whoever typed the command: the thing, and what is wrong with it in words. */
function wordsOf(error: unknown): string {
  if (!(error instanceof SysError)) return error instanceof Error ? error.message : String(error);
  if (SAID.includes(error.errno)) return error.what;
  return `${error.what}: ${getSystemErrorMap().get(-error.errno)?.[1] ?? error.code}`;
}

function reply(response: ServerResponse, status: number, body: object): void {
  const text = JSON.stringify(body);
  response.writeHead(status, {
    'Content-Type': 'application/vnd.docker.plugins.v1.2+json',
    'Content-Length': Buffer.byteLength(text),
  });
  response.end(text);
}

/** A request that does not follow the protocol. */
export class BadRequest extends Error {
  override readonly name = 'BadRequest';
}

async function readJson(request: IncomingMessage): Promise<Body> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > LARGEST_BODY) throw new BadRequest(`the request is longer than ${LARGEST_BODY} bytes`);
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks).toString('utf8').trim();
  if (text === '') return {};
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new BadRequest('the request is no JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new BadRequest('the request is no JSON object');
  return value as Body;
}

/** The text in `body[name]`; BadRequest when it is absent, empty or something else. */
export function textOf(body: Body, name: string): string {
  const value = body[name];
  if (typeof value === 'string' && value !== '') return value;
  // dockerd sends a request again without its body when the connection broke: it must never be acted on.
  throw new BadRequest(`the request has no ${name}`);
}

/** The text in `body[name]`, or null when it is absent or empty. */
export function optionalText(body: Body, name: string): string | null {
  const value = body[name];
  return value === undefined || value === null || value === '' ? null : textOf(body, name);
}
