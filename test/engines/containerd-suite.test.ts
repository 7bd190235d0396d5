// containerd's own suite for snapshotters (Debian ships its source), whole, against `lamina serve` with each backend. The
// program that runs it is built once for each version of containerd, and kept in build/.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { MAIN, run } from '../cli/run.js';
import { mountsBelow, scratch } from '../support/cleanup.js';
import { needs } from '../support/needs.js';
import { top } from '../support/source.js';

needs('mount', 'go');

const BACKENDS = ['union', 'thin'];
const PACKAGE = 'golang-github-containerd-containerd-dev';
const SUITE = join(top, 'test/engines/suite');
/** What containerd itself does not run: "rename test still fails on some kernels with overlay". */
const SKIPPED = ['Rename'];

function version(): string {
  return run('dpkg-query', ['--show', PACKAGE]).stdout.split('\t')[1]?.trim() ?? '';
}

/** Builds the suite's program if it is not there; its path. */
function program(cache: string): string {
  const source = readFileSync(join(SUITE, 'snapshotter_test.go'));
  const key = createHash('sha256').update(version()).update(source).digest('hex').slice(0, 16);
  const path = join(top, 'build', `containerd-suite-${key}`);
  if (existsSync(path)) return path;
  mkdirSync(join(top, 'build'), { recursive: true });
  const built = run('go', ['test', '-c', '-o', `${path}.new`, '.'], {
    cwd: SUITE,
    timeout: 300_000,
    env: { ...process.env, GO111MODULE: 'off', GOPATH: '/usr/share/gocode', GOCACHE: cache, GOFLAGS: '' },
  });
  if (built.status !== 0) throw new Error(`the suite cannot be built: ${built.stderr}`);
  renameSync(`${path}.new`, path);
  return path;
}

for (const backend of BACKENDS) {
  t.test(
    `containerd's suite, ${backend} backend`,
    { skip: version() === '' && `needs ${PACKAGE}` },
    async t => {
      const s = scratch(t, 'suite');
      const suite = program(s.mkdir('go'));
      const lamina = [process.execPath, MAIN, 'serve', '--backend', backend, '--log-level', 'warn'].join(
        '\n',
      );
      // Its own time-out ends the program's children with it.
      const args = ['-test.root', '-test.v', '-test.parallel', '2', '-test.timeout', '5m'];
      const { status, stdout, stderr } = run(suite, args, {
        timeout: 310_000,
        env: { ...process.env, LAMINA: lamina, TMPDIR: s.mkdir('tmp') },
      });
      const results = new Map(
        [...stdout.matchAll(/^ {4}--- (\w+): TestLamina\/(\S+)/gm)].map(([, result, name]) => [
          name!,
          result!,
        ]),
      );
      t.ok(results.size > 20, `${results.size} cases`);
      for (const [name, result] of results)
        t.equal(result, SKIPPED.includes(name) ? 'SKIP' : 'PASS', `${name}: ${result}`);
      if (!t.equal(status, 0)) t.comment(`${stdout}\n${stderr}`);
      t.equal(stderr, '', 'nothing to say');
      t.same(mountsBelow(s.dir), [], 'every process unmounted what it had mounted');
    },
  );
}
