// `lamina nbd`: serves volumes over the network block device protocol until it is told to end; then it finishes what is in
// flight and closes the pool.
import type { Command } from 'commander';
import type { ByteString } from '../base/index.js';
import { toText } from '../base/index.js';
import { say, UserError, warn } from './output.js';
import { absoluteText, volumesOfOnePool } from './pool-address.js';
import { runService } from './service.js';
import { parseWhole } from './size.js';

interface Flags {
  socket?: ByteString;
  port?: ByteString;
  host?: ByteString;
}

export function define(command: Command): void {
  command
    .argument('<volumes...>', 'DIR/NAME; the first is also the default export')
    .usage('(--socket PATH | --port N [--host HOST]) DIR/NAME...')
    .option('--socket <path>', 'listen on this unix socket, which only its owner can open')
    .option('--port <number>', 'listen on this TCP port; 0 takes a free one')
    .option('--host <host>', 'of this address (default 127.0.0.1); whoever can reach it can write')
    .addHelpText('after', HELP)
    .action(nbd);
}

async function nbd(words: ByteString[], flags: Flags): Promise<void> {
  const { dir, names } = volumesOfOnePool(words);
  const { socket, port, host } = flags;
  if (socket === undefined && port === undefined) {
    throw new UserError('where to listen: give --socket PATH, or --port N for TCP');
  }
  if (host !== undefined && port === undefined) throw new UserError('--host goes with --port');
  const params = {
    names,
    ...(socket === undefined ? {} : { socket: absoluteText(socket) }),
    ...(port === undefined ? {} : { port: parseWhole(port, '--port', 0, 65_535) }),
    ...(host === undefined ? {} : { host: toText(host) }),
  };
  const ready = (uris: readonly string[]) => {
    for (const uri of uris) say(`ready: ${uri}`);
  };
  await runService({ dir, operation: 'nbd.serve', params, title: 'lamina nbd' }, warn, ready);
}

const HELP = `
It serves until SIGTERM or Ctrl-C. A line "ready: URI" for each volume says that it is there.
The pool may be in use by other commands at the same time: lamina volume snapshot and so on reach it.

Examples:
  lamina nbd --socket /run/db.sock /srv/pool/db
  nbdinfo nbd+unix:///db?socket=/run/db.sock`;
