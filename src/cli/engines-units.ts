// systemd units for `lamina serve` as it was called: a service that says when it is ready, and a socket for each engine, which
// may come to it before the service runs.
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SERVE_OPTIONS, type ServeSettings } from './engines-options.js';
import { UserError } from './output.js';

const SERVICE = 'lamina.service';

/** Writes the units into `dir`; returns their paths. The settings are written out unless they come from `file`. */
export function writeUnits(dir: string, settings: ServeSettings, file: string | null): string[] {
  if (!existsSync(dir)) throw new UserError(`--write-units: there is no directory ${dir}`);
  const { docker, containerd } = settings;
  const units = new Map<string, string>();
  for (const [name, path] of Object.entries({ docker, containerd }))
    if (path !== undefined) units.set(`lamina-${name}.socket`, socket(name, path));
  units.set(SERVICE, service(settings, file, [...units.keys()].join(' ')));
  return [...units].map(([name, text]) => {
    const path = join(dir, name);
    writeFileSync(path, text);
    return path;
  });
}

function service(settings: ServeSettings, file: string | null, sockets: string): string {
  const main = fileURLToPath(new URL('./main.js', import.meta.url));
  const words = [
    process.execPath,
    main,
    'serve',
    ...(file === null ? flagsOf(settings) : ['--config', file]),
  ];
  return `[Unit]
Description=laminafs: storage for container engines
Before=docker.service containerd.service
Requires=${sockets}
After=${sockets} local-fs.target

[Service]
Type=notify
ExecStart=${words.map(quoted).join(' ')}
Sockets=${sockets}
# Containers' file systems are served by this process.
OOMScoreAdjust=-999
LimitNOFILE=1048576
KillMode=mixed
Restart=on-failure

[Install]
WantedBy=multi-user.target
Also=${sockets}
`;
}

function socket(name: string, path: string): string {
  return `[Unit]
Description=laminafs: where ${name} comes to

[Socket]
ListenStream=${path.replaceAll('%', '%%')}
FileDescriptorName=${name}
SocketMode=0600
RemoveOnStop=yes
Service=${SERVICE}

[Install]
WantedBy=sockets.target
`;
}

/** The settings as words of the command line. */
function flagsOf(settings: ServeSettings): string[] {
  const values: Readonly<Record<string, string | number | undefined>> = {
    root: settings.root,
    backend: settings.backend,
    docker: settings.docker,
    containerd: settings.containerd,
    'default-size': settings.defaultSize,
    metrics: settings.metrics && `${settings.metrics.host}:${settings.metrics.port}`,
    'log-level': settings.logLevel,
  };
  return SERVE_OPTIONS.flatMap(({ name }) => {
    const value = values[name];
    return value === undefined ? [] : [`--${name}`, String(value)];
  });
}

/** A word of ExecStart=: systemd.service(5), "Command lines". */
function quoted(word: string): string {
  const escaped = word.replace(/[\\"]/g, '\\$&').replaceAll('%', '%%').replaceAll('$', '$$$$');
  return /^[\w@%+=:,./$-]+$/.test(word) ? escaped : `"${escaped}"`;
}
