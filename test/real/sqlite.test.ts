// An SQLite database of 90 MB in the lower layer, rewritten through the mount by random updates in both journal modes, as
// rpm, apt and browsers do it. The result must pass SQLite's own check, and be byte for byte what kernel overlayfs gives.
import t from 'tap';
import { kinds, sh } from '../support/daemon.js';
import { type Stage, setStage } from '../support/daemon-stage.js';
import { fingerprint } from '../support/daemon-tree.js';

const MAKE = `sqlite3 l1/db "PRAGMA page_size=4096; PRAGMA journal_mode=OFF; CREATE TABLE t(id INTEGER PRIMARY KEY, k INT, v TEXT);
  WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 90000)
  INSERT INTO t SELECT i, i * 7919 % 90000, hex(zeroblob(480)) FROM n; CREATE INDEX tk ON t(k);" >/dev/null
  test $(stat -c %s l1/db) -gt 88000000`;

// 3 000 updates of rows all over the file, chosen by a fixed sequence, in 30 transactions; then deletions and a new index.
const updates = (journal: string): string => `
  { echo "PRAGMA journal_mode=${journal}; PRAGMA synchronous=NORMAL;"
    for t in {1..30}; do
      echo "BEGIN;"
      for i in {1..100}; do n=$(( (t * 104729 + i * 15485863) % 90000 )); echo "UPDATE t SET v='$t-$i'||substr(v,8), k=$n WHERE id=$n;"; done
      echo "COMMIT;"
    done
    echo "DELETE FROM t WHERE id % 50 = 7; CREATE INDEX tv ON t(v) WHERE id < 3000;"
  } | sqlite3 db >/dev/null`;

function rewrite(stage: Stage, journal: string): string {
  const { t } = stage;
  const reader = 'sqlite3 -readonly db "SELECT count(*), sum(k) FROM t"';
  stage.mount();
  t.equal(stage.in(reader), `90000|4049955000\n`, 'read in the lower layer');
  stage.in(`exec 9<db; head -c 1000000 <&9 >/dev/null; ${updates(journal)}`);
  t.equal(stage.in('sqlite3 db "PRAGMA integrity_check"'), 'ok\n');
  t.equal(stage.in('sqlite3 db "SELECT count(*) FROM t"'), '88200\n');
  if (journal === 'WAL') t.equal(stage.in('sqlite3 db "PRAGMA journal_mode=DELETE"'), 'delete\n');
  stage.mount();
  t.equal(stage.in('sqlite3 db "PRAGMA integrity_check"; ls'), 'ok\ndb\n', 'after a remount');
  return stage.in('sha256sum db');
}

for (const journal of ['DELETE', 'WAL']) {
  void t.test(`an SQLite database in ${journal} mode`, { timeout: 300_000 }, async t => {
    const results: string[] = [];
    for (const kind of kinds) {
      await t.test(kind.name, async t => {
        const stage = setStage(t, kind, { layers: MAKE });
        const before = fingerprint(...stage.lowers);
        results.push(rewrite(stage, journal));
        stage.umount();
        t.equal(fingerprint(...stage.lowers), before, 'the lower database is what it was');
        t.equal(
          sh('sqlite3 db "PRAGMA integrity_check"', { cwd: stage.upper }),
          'ok\n',
          'the upper has it whole',
        );
      });
    }
    t.equal(new Set(results).size, 1, 'both ways to mount give the same bytes');
  });
}
