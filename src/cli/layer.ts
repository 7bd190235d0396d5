// What `lamina layer diff`, `apply` and `complete` do, with arguments already parsed and the streams to use.
import { fstatSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { type ByteString, toText } from '../base/index.js';
import { applyLayerTar, type ByteSource, type Change, diffLayer, layerTar } from '../oci/index.js';
import { parseOptions, Union, withAbsolutePaths } from '../union/index.js';
import { pathBuffer, UserError } from './output.js';
import { type Sink, toOutput } from './output-file.js';
import { type Progress, sizeText, startProgress } from './progress.js';
import { waitForUpper } from './upperlock.js';

export interface LayerDiffArguments {
  upper: ByteString;
  /** Top first; undefined when not given, [] for an upper with nothing below. */
  lowers: readonly ByteString[] | undefined;
  /** An OCI layer tar in place of the list. */
  tar: boolean;
  /** Where the tar goes; null is stdout. */
  output: ByteString | null;
  /** One JSON object for each change, a line each. */
  json: boolean;
}

export interface LayerApplyArguments {
  /** A tar or gzip file; `-` is stdin. */
  source: ByteString;
  directory: ByteString;
  /** Carry deletions out on a plain tree; otherwise they become whiteouts of a layer. */
  flat: boolean;
}

export interface LayerCompleteArguments {
  /** Mount options: lowerdir, upperdir, workdir. */
  options: readonly ByteString[];
  /** What relative paths are relative to. */
  cwd: ByteString;
}

export interface LayerStreams {
  stdin: NodeJS.ReadableStream & AsyncIterable<Uint8Array | string>;
  stdout: NodeJS.WritableStream;
  stderr: NodeJS.WritableStream;
}

/** Brings the data of an upper's metadata-only copies into it. */
export async function layerComplete(args: LayerCompleteArguments, streams: LayerStreams): Promise<void> {
  const config = withAbsolutePaths(parseOptions(...args.options), args.cwd);
  if (config.upper === null) throw new UserError('upperdir is missing: it is what is completed');
  await waitForUpper(config.upper);
  const union = Union.open(config);
  try {
    const count = await union.completeCopies();
    await write(streams.stdout, `${count} ${count === 1 ? 'file' : 'files'} completed\n`);
  } finally {
    await union.destroy();
  }
}

/** Lists what an upper changes, or writes it as a tar. */
export async function layerDiff(args: LayerDiffArguments, streams: LayerStreams): Promise<void> {
  if (!args.tar && args.output === null) return list(args, streams);
  if (args.json) throw new UserError('--json is a list, and --tar is none: one of them');
  if (args.output === null) {
    if ('isTTY' in streams.stdout && streams.stdout.isTTY === true) {
      throw new UserError('a tar is not for a terminal: give -o FILE, or send it into a pipe');
    }
    return writeTar(args, streams, piece => write(streams.stdout, piece));
  }
  // A reader never finds half a tar under the name: it gets the name when it is whole.
  await toOutput(args.output, null, sink => writeTar(args, streams, sink));
}

async function writeTar(args: LayerDiffArguments, streams: LayerStreams, sink: Sink): Promise<void> {
  const progress = await startProgress(streams.stderr, 0);
  const notes: string[] = [];
  const options = {
    lowers: args.lowers,
    onEntry: (path: ByteString, bytes: number) => progress.update(bytes, toText(path)),
    onNote: (note: string) => notes.push(note),
  };
  try {
    for await (const piece of layerTar(args.upper, options)) await sink(piece);
  } finally {
    progress.stop();
  }
  tell(streams, notes);
}

function write(to: NodeJS.WritableStream, piece: Uint8Array | string): Promise<void> {
  return new Promise((resolve, reject) => {
    to.once('error', reject);
    to.write(piece, error => {
      // An error comes as an event as well, later, and must find somebody who listens.
      if (error) return reject(error);
      to.off('error', reject);
      resolve();
    });
  });
}

async function list(args: LayerDiffArguments, streams: LayerStreams): Promise<void> {
  const line = args.json ? jsonLine : textLine;
  let lines: Buffer[] = [];
  for await (const change of diffLayer(args.upper, { lowers: args.lowers })) {
    lines.push(line(change));
    if (lines.length < 1000) continue;
    await write(streams.stdout, Buffer.concat(lines));
    lines = [];
  }
  await write(streams.stdout, Buffer.concat(lines));
}

/** As `docker diff` prints it; control characters in names are escaped, other bytes are written as they are. */
function textLine(change: Change): Buffer {
  const path = change.path.replace(
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    /[\x00-\x1f\x7f]/g,
    char => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
  return Buffer.from(`${change.kind} /${path}\n`, 'latin1');
}

/** A name that is not UTF-8 comes with its bytes in base64. */
function jsonLine(change: Change): Buffer {
  const path = toText(change.path);
  const bytes = Buffer.from(change.path, 'latin1');
  const exact = Buffer.from(path, 'utf8').equals(bytes) ? {} : { pathBase64: bytes.toString('base64') };
  const { kind, type, size } = change;
  return Buffer.from(`${JSON.stringify({ kind, path, ...exact, type, size })}\n`);
}

/** Applies a layer tar to a directory and says what came of it. */
export async function layerApply(args: LayerApplyArguments, streams: LayerStreams): Promise<void> {
  const fromStdin = args.source === '-';
  if (fromStdin && 'isTTY' in streams.stdin && streams.stdin.isTTY === true) {
    throw new UserError('a tar is expected on stdin: lamina layer apply - DIR <layer.tar');
  }
  const file = fromStdin ? null : await open(pathBuffer(args.source), 'r');
  try {
    const total = file === null ? 0 : fstatSync(file.fd).size;
    const progress = await startProgress(streams.stderr, total);
    const source =
      file === null ? streams.stdin : file.createReadStream({ autoClose: false, highWaterMark: 1 << 18 });
    await apply(args, streams, counted(source, progress), progress);
  } finally {
    await file?.close();
  }
}

async function apply(
  args: LayerApplyArguments,
  streams: LayerStreams,
  source: ByteSource,
  progress: Progress,
): Promise<void> {
  try {
    const result = await applyLayerTar(source, args.directory, { whiteouts: args.flat ? 'apply' : 'keep' });
    progress.stop();
    tell(streams, result.notes);
    const entries = `${result.entries} ${result.entries === 1 ? 'entry' : 'entries'}`;
    await write(streams.stdout, `${entries}, ${sizeText(result.bytes)} of data\n`);
  } finally {
    progress.stop();
  }
}

/** The chunks of a stream, while the bar follows. */
async function* counted(
  source: AsyncIterable<Uint8Array | string>,
  progress: Progress,
): AsyncGenerator<Uint8Array, void, undefined> {
  let bytes = 0;
  for await (const chunk of source) {
    const piece = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
    bytes += piece.length;
    yield piece;
    progress.update(bytes, '');
  }
}

function tell(streams: LayerStreams, notes: readonly string[]): void {
  for (const note of notes) streams.stderr.write(`lamina: ${note}\n`);
}
