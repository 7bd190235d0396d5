// What can be seen of `lamina serve` from outside: a log of JSON lines on stderr, Prometheus metrics, and whether it is well.
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Logger, pino } from 'pino';
import type { DriverObserver } from '../drivers/index.js';
import type { Store } from '../store/index.js';
import type { LogLevel } from './engines-options.js';
import { describe } from './output.js';

/** A logger of JSON lines on stderr, each written before the call returns. */
export function makeLog(level: LogLevel): Logger {
  return pino(
    { level, base: null, timestamp: pino.stdTimeFunctions.isoTime },
    pino.destination({ fd: 2, sync: true }),
  );
}

/** Counts calls, in a log and as metrics. */
export interface Observed {
  observer(driver: string): DriverObserver;
  /** Prometheus's text format. */
  metrics(): Promise<{ text: string; type: string }>;
}

/** Calls of all drivers; `store` tells how many mounts there are. Loads the metrics library, so it is called once. */
export async function observe(log: Logger, store: Store): Promise<Observed> {
  const { collectDefaultMetrics, Gauge, Histogram, Registry } = await import('prom-client');
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const calls = new Histogram({
    name: 'lamina_call_seconds',
    help: "Engines' calls by driver, method and whether they failed",
    labelNames: ['driver', 'method', 'outcome'],
    buckets: [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60],
    registers: [registry],
  });
  new Gauge({
    name: 'lamina_mounts',
    help: 'Layers that are mounted now',
    registers: [registry],
    collect() {
      this.set(store.mountCount);
    },
  });
  new Gauge({
    name: 'lamina_layers',
    help: 'Layers of all engines',
    registers: [registry],
    collect() {
      this.set(store.layerCount);
    },
  });
  return {
    observer: driver => ({
      call(method, milliseconds, error) {
        const outcome = error === null ? 'ok' : 'error';
        calls.observe({ driver, method, outcome }, milliseconds / 1000);
        const fields = { driver, method, milliseconds: Math.round(milliseconds) };
        if (error === null) log.debug(fields, 'call');
        else log.info({ ...fields, error: describe(error) }, 'call failed');
      },
      late(method, milliseconds, error) {
        const fields = { driver, method, milliseconds: Math.round(milliseconds) };
        const outcome = error === null ? {} : { error: describe(error) };
        log.warn({ ...fields, ...outcome }, 'a call that was given up has ended');
      },
      defect: (error, method) => log.error({ driver, method, error: describe(error) }, 'defect'),
    }),
    metrics: async () => ({ text: await registry.metrics(), type: registry.contentType }),
  };
}

/** Answers GET /metrics and GET /health; resolves to the server and the port it has. */
export async function serveMetrics(
  address: { readonly host: string; readonly port: number },
  observed: Observed,
  store: Store,
): Promise<{ server: Server; port: number }> {
  const server = createServer((request, response) => {
    const path = request.method === 'GET' ? request.url : undefined;
    if (path === '/metrics') {
      observed.metrics().then(
        ({ text, type }) => response.writeHead(200, { 'Content-Type': type }).end(text),
        (error: unknown) => response.writeHead(500).end(`${describe(error)}\n`),
      );
    } else if (path === '/health') {
      const trouble = store.trouble();
      response.writeHead(trouble === null ? 200 : 503, { 'Content-Type': 'text/plain; charset=utf-8' });
      response.end(`${trouble ?? 'ok'}\n`);
    } else response.writeHead(404).end('there are /metrics and /health\n');
  });
  server.listen(address.port, address.host);
  await once(server, 'listening');
  return { server, port: (server.address() as AddressInfo).port };
}
