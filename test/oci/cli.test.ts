// `lamina layer diff` and `lamina layer apply` below the parsing of arguments: what goes to which stream.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { PassThrough, Readable } from 'node:stream';
import t from 'tap';
import { fromText } from '../../src/base/index.js';
import { type LayerDiffArguments, layerApply, layerDiff } from '../../src/cli/layer.js';
import { scratch } from '../support/cleanup.js';
import { sh } from './stage.js';

function streams(stdin: Iterable<Buffer> = []) {
  const stdout = new PassThrough({ highWaterMark: 1 << 24 });
  const stderr = new PassThrough({ highWaterMark: 1 << 24 });
  const text = (stream: PassThrough) => String(stream.read() ?? '');
  return { stdin: Readable.from(stdin), stdout, stderr, out: () => text(stdout), err: () => text(stderr) };
}

const LIST: LayerDiffArguments = { upper: '', lowers: undefined, tar: false, output: null, json: false };

void t.test('the list is that of docker diff', async t => {
  const { dir } = scratch(t, 'oci-cli');
  sh(
    dir,
    'mkdir -p low/d up/d; touch low/d/f; mknod up/d/f c 0 0; printf 123 >"up/d/a\nb"; touch "$(printf "up/\\377")"',
  );
  const args = { ...LIST, upper: fromText(`${dir}/up`), lowers: [fromText(`${dir}/low`)] };
  const to = streams();
  await layerDiff(args, to);
  t.same(to.stdout.read(), Buffer.from('C /d\nD /d/f\nA /d/a\\x0ab\nA /\xff\n', 'latin1'));
  await layerDiff({ ...args, json: true }, to);
  t.same(
    to
      .out()
      .trim()
      .split('\n')
      .map(line => JSON.parse(line)),
    [
      { kind: 'C', path: 'd', type: 'directory', size: 0 },
      { kind: 'D', path: 'd/f', type: null, size: 0 },
      { kind: 'A', path: 'd/a\nb', type: 'file', size: 3 },
      { kind: 'A', path: '\ufffd', pathBase64: '/w==', type: 'file', size: 0 },
    ],
  );
  t.equal(to.err(), '');
});

void t.test('a tar to a file and back, and to stdout and from stdin', async t => {
  const { dir } = scratch(t, 'oci-cli');
  sh(
    dir,
    'mkdir -p up/d to1 to2; echo hello >up/d/f; python3 -c "import socket; socket.socket(socket.AF_UNIX).bind(\'up/s\')"',
  );
  const upper = fromText(`${dir}/up`);
  const to = streams();
  await layerDiff({ ...LIST, upper, tar: true, output: fromText(`${dir}/l.tar`) }, to);
  t.equal(to.out(), '');
  t.equal(to.err(), 'lamina: s: a socket has no place in a layer and was left out\n');
  t.equal(sh(dir, 'ls'), 'l.tar\nto1\nto2\nup\n');
  await layerDiff({ ...LIST, upper, tar: true }, to);
  const tar = to.stdout.read() as Buffer;
  t.equal(tar.toString('latin1'), sh(dir, 'cat l.tar'));
  await layerApply({ source: fromText(`${dir}/l.tar`), directory: fromText(`${dir}/to1`), flat: false }, to);
  t.equal(to.out(), '3 entries, 6 bytes of data\n');
  await layerApply({ source: '-', directory: fromText(`${dir}/to2`), flat: true }, streams([tar]));
  t.equal(sh(dir, 'cat to1/d/f to2/d/f'), 'hello\nhello\n');
});

void t.test('a tar that cannot be completed leaves no file', async t => {
  const { dir } = scratch(t, 'oci-cli');
  sh(dir, 'mkdir up; mkdir up/d; setfattr -n trusted.overlay.redirect -v /x up/d');
  const failing = layerDiff(
    { ...LIST, upper: fromText(`${dir}/up`), tar: true, output: fromText(`${dir}/l.tar`) },
    streams(),
  );
  await t.rejects(failing, { message: /was renamed/ });
  t.equal(sh(dir, 'ls'), 'up\n');
  const nowhere = layerDiff(
    { ...LIST, upper: fromText(`${dir}/up`), output: fromText(`${dir}/no/l.tar`) },
    streams(),
  );
  await t.rejects(nowhere, { code: 'ENOENT' });
});

void t.test('terminals: no tar on one, and a bar on stderr only there', async t => {
  const { dir } = scratch(t, 'oci-cli');
  sh(dir, 'mkdir up to; head -c 100000 /dev/urandom >up/f');
  const upper = fromText(`${dir}/up`);
  const terminal = Object.assign(streams().stdout, { isTTY: true });
  await t.rejects(layerDiff({ ...LIST, upper, tar: true }, { ...streams(), stdout: terminal }), {
    message: /not for a terminal/,
  });
  await t.rejects(layerDiff({ ...LIST, upper, tar: true, json: true }, streams()), {
    message: /one of them/,
  });
  const stdin = Object.assign(Readable.from([]), { isTTY: true });
  await t.rejects(layerApply({ source: '-', directory: upper, flat: true }, { ...streams(), stdin }), {
    message: /stdin/,
  });
  // A real terminal: script(1) gives one.
  const script = `
    import { layerApply, layerDiff } from '${process.cwd()}/src/cli/layer.ts';
    await layerDiff({ upper: '${dir}/up', lowers: [], tar: true, output: '${dir}/l.tar', json: false }, process);
    await layerApply({ source: '${dir}/l.tar', directory: '${dir}/to', flat: false }, process);`;
  const loaders = process.execArgv.map(word => `'${word}'`).join(' ');
  const command = `cd ${process.cwd()}; node ${loaders} --input-type=module -e "$SCRIPT"`;
  const child = spawn('script', ['-qec', command, '/dev/null'], {
    env: { ...process.env, SCRIPT: script, TERM: 'xterm' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const pieces: Buffer[] = [];
  child.stdout.on('data', piece => pieces.push(piece));
  const [status] = await once(child, 'close');
  const shown = Buffer.concat(pieces).toString();
  t.equal(status, 0, shown);
  t.match(shown, /97\.7 KiB/);
  t.match(shown, /100%/);
  t.match(shown, /2 entries, 97\.7 KiB of data/);
});
