// Failure class 8: renames of directories that give EXDEV, and the flags of renameat2.
import t from 'tap';
import { eachKind } from '../support/daemon-stage.js';

const layers = `mkdir -p l1/low/x l1/merged/one l2/merged/two l1/empty l1/full; echo f >l1/full/f
  echo 1 >l1/low/x/file; echo 1 >l1/merged/one/f; echo 2 >l2/merged/two/f; echo a >l1/file`;
const stage2 = { layers, count: 2 };

void eachKind(t, 'directories of every origin can be renamed', stage2, stage => {
  const { t } = stage;
  stage.in(
    'mkdir -p up/new; touch merged/three; mv -T low low2; mv -T merged merged2; mv -T up up2; mv -T low2 empty',
  );
  const files = 'empty/x/file\nfile\nfull/f\nmerged2/one/f\nmerged2/three\nmerged2/two/f\n';
  t.equal(stage.in('find * -type f | sort'), files);
  stage.in('mkdir low merged; touch low/fresh');
  t.equal(stage.in('find low merged | sort'), 'low\nlow/fresh\nmerged\n', 'the old names are free and empty');
  stage.mount();
  t.equal(
    stage.in('find * -type f | sort'),
    files.replace('merged2/one', 'low/fresh\nmerged2/one'),
    'remounted',
  );
});

void eachKind(t, 'renameat2 flags and the errors of rename', stage2, stage => {
  const { t } = stage;
  const rename = (from: string, to: string, flags = 0): string =>
    stage.python(`print(rename2('${from}', '${to}', ${flags}))`);
  t.equal(rename('low', 'full'), 'ENOTEMPTY');
  t.equal(rename('low', 'file'), 'ENOTDIR');
  t.equal(rename('file', 'low'), 'EISDIR');
  t.equal(rename('low', 'low/x/inside'), 'EINVAL');
  t.equal(rename('file', 'full/f', 1), 'EEXIST', 'NOREPLACE');
  t.equal(rename('merged', 'fresh', 1), 'ok', 'NOREPLACE to a free name');
  t.equal(rename('fresh', 'file', 2), 'ok', 'EXCHANGE of a merged directory and a file');
  t.equal(stage.in('cat fresh; find file -type f | sort'), 'a\nfile/one/f\nfile/two/f\n');
  t.equal(rename('low', 'full', 2), 'ok', 'EXCHANGE of two lower directories');
  t.equal(rename('low', 'nothing', 2), 'ENOENT');
  t.equal(stage.in('find low full -type f | sort'), 'full/x/file\nlow/f\n');
  stage.mount();
  t.equal(stage.in('find low full -type f | sort; cat fresh'), 'full/x/file\nlow/f\na\n', 'after a remount');
});

void eachKind(t, 'a chain of renames ends where it should', stage2, stage => {
  const { t } = stage;
  stage.in(
    'for i in {1..30}; do mv merged m; mv m low/m; mv low/m merged; done; mv low merged/low; mv merged/low/x x',
  );
  t.equal(stage.in('find * -type f | sort'), 'file\nfull/f\nmerged/one/f\nmerged/two/f\nx/file\n');
});
