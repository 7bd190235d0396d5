// `lamina serve`: one process that keeps the store and serves the engines' protocols until it is told to end; then it takes no
// more calls, finishes those under way, and unmounts.
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Command } from 'commander';
import type { Logger } from 'pino';
import type { ByteString } from '../base/index.js';
import {
  CallLimit,
  type Driver,
  graphDriver,
  servePlugin,
  serveSnapshots,
  snapshotter,
  volumeDriver,
} from '../drivers/index.js';
import { Store } from '../store/index.js';
import { listenAtPath, type UnixListener } from '../sys/index.js';
import { makeLog, type Observed, observe, serveMetrics } from './engines-observe.js';
import { SERVE_OPTIONS, type ServeSettings, serveSettings } from './engines-options.js';
import { say, UserError } from './output.js';
import { absoluteText } from './pool-address.js';
import { closeListeners, notify, takeListeners } from './systemd.js';

const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

export function define(command: Command): void {
  for (const { name, argument, help } of SERVE_OPTIONS) command.option(`--${name} ${argument}`, help);
  command
    .option('--config <file>', 'a JSON object with these settings by name, such as {"backend": "thin"}')
    .option('--write-units <dir>', 'write lamina.service and its sockets for systemd there, and end')
    .addHelpText('after', HELP)
    .action(run);
}

type Flags = Readonly<Record<string, ByteString | undefined>>;

async function run(flags: Flags): Promise<void> {
  const given = new Map<string, ByteString>();
  for (const { name } of SERVE_OPTIONS) {
    const value = flags[name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())];
    if (value !== undefined) given.set(name, value);
  }
  const file = flags.config === undefined ? null : absoluteText(flags.config);
  const settings = serveSettings(file, given);
  if (flags.writeUnits !== undefined) {
    const { writeUnits } = await import('./engines-units.js');
    for (const path of writeUnits(absoluteText(flags.writeUnits), settings, file)) say(path);
    return;
  }
  if (process.geteuid?.() !== 0)
    throw new UserError('lamina serve mounts layers for others, which needs root');
  const told = Promise.race(SIGNALS.map(signal => once(process, signal)));
  await serve(settings, makeLog(settings.logLevel), told);
}

async function serve(settings: ServeSettings, log: Logger, told: Promise<unknown>): Promise<void> {
  const listeners = takeListeners();
  const { root, backend, thin } = settings;
  const store = await Store.open(root, { backend, thin, warn: message => log.warn(message) });
  const closers: (() => Promise<unknown>)[] = [];
  try {
    const observed = await observe(log, store);
    const drivers = await startDrivers(settings, store, observed, listeners);
    closers.push(...drivers.map(driver => () => driver.close()));
    closeListeners(listeners);
    const addresses = drivers.map(({ address }) => address);
    if (settings.metrics !== undefined) {
      const { server, port } = await serveMetrics(settings.metrics, observed, store);
      closers.push(async () => server.close());
      addresses.push(`http://${settings.metrics.host}:${port}/metrics`);
    }
    log.info({ root, backend, addresses }, 'ready');
    say(`ready: ${addresses.join(' ')}`);
    notify('READY=1');
    await told;
    notify('STOPPING=1');
    log.info('ending: calls under way are finished');
  } finally {
    await Promise.all(closers.map(close => close()));
    await store.close();
  }
  log.info('ended');
}

/** Each listens on the socket that systemd has handed over, or on its own. */
async function startDrivers(
  { docker, containerd, defaultSize, callTimeout }: ServeSettings,
  store: Store,
  observed: Observed,
  listeners: Map<string, UnixListener>,
): Promise<Driver[]> {
  const listen = (name: string, path: string): UnixListener => {
    const handed = listeners.get(name);
    listeners.delete(name);
    if (handed !== undefined) return handed;
    mkdirSync(dirname(path), { recursive: true });
    return listenAtPath(path);
  };
  const limit = new CallLimit(callTimeout * 1000);
  const drivers: Driver[] = [];
  if (docker !== undefined)
    drivers.push(
      await servePlugin(
        listen('docker', docker),
        { ...graphDriver(store, { defaultSize: defaultSize ?? null }), ...volumeDriver(store) },
        observed.observer('docker'),
        limit,
      ),
    );
  if (containerd !== undefined) {
    const table = snapshotter(store, { size: defaultSize ?? null });
    drivers.push(
      await serveSnapshots(listen('containerd', containerd), table, observed.observer('containerd'), limit),
    );
  }
  return drivers;
}

const HELP = `
It serves until SIGTERM or Ctrl-C. A line "ready: ADDRESS ..." on stdout says that engines may come.

Examples:
  lamina serve --docker /run/docker/plugins/lamina.sock       then: dockerd --experimental -s lamina
  lamina serve --containerd /run/lamina/containerd.sock       a proxy_plugins entry of type "snapshot" in containerd's file
  lamina serve --backend thin --docker /run/docker/plugins/lamina.sock
  lamina serve --config /etc/lamina.json --write-units /etc/systemd/system`;
