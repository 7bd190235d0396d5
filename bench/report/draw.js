// Draws the charts of a page of results, in the page, as wide as they have room, and again when that changes. One chart of ratios for
// each group of workloads, one of plain figures where nothing is compared, and the growth curves.
/* global d3, charts */
(() => {
  const { stylesOf, measured, baseOf, dotChart, curveChart, SYMBOLS } = charts;
  const results = JSON.parse(document.getElementById('results').textContent);

  function figure(title, about, draw) {
    const element = document.createElement('figure');
    const caption = element.appendChild(document.createElement('figcaption'));
    caption.append(title);
    if (about !== '') caption.appendChild(document.createElement('small')).textContent = about;
    return { element, draw: width => draw(width, about === '' ? title : `${title}: ${about}`) };
  }

  /** What the numbers of a chart are; with `before`, what the chart before it has said is not said again. */
  function comparisonOf(rows, before) {
    const words = `elapsed time as a ratio to ${[...new Set(rows.map(baseOf))].join(' or ')}`;
    if (before !== undefined) return before === words ? [words, ''] : [words, words];
    const several = rows.some(row => measured(row).some(([, figures]) => figures.length > 1));
    return [
      words,
      `${words}: left of the line is faster${several ? '; whiskers from the least to the greatest trial' : ''}`,
    ];
  }

  /** The charts of a suite in their order. What only one subject has is in the tables alone. */
  function chartsOf(suite) {
    const styles = stylesOf(suite);
    const several = suite.rows.filter(row => measured(row).length > 1);
    const ratios = [];
    let before;
    for (const [group, rows] of d3.groups(several, row => row.group)) {
      const compared = rows.filter(row => baseOf(row) !== undefined);
      if (compared.length > 0) {
        const [words, said] = comparisonOf(compared, before);
        before = words;
        ratios.push(figure(group, said, (width, title) => dotChart(compared, styles, true, width, title)));
      }
      for (const [unit, others] of d3.groups(
        rows.filter(row => baseOf(row) === undefined),
        row => row.unit,
      ))
        ratios.push(
          figure(group, `${unit}, logarithmic`, (width, title) =>
            dotChart(others, styles, false, width, title),
          ),
        );
    }
    const curves = d3.groups(
      suite.rows.filter(row => row.curve !== undefined && measured(row).length > 0),
      row => row.curve.name,
    );
    const drawn = curves
      .filter(([, rows]) => rows.length > 1)
      .map(([name, rows]) => {
        const unit = rows[0].curve.per === undefined ? rows[0].unit : 'µs for each name';
        return figure(
          `Growth: ${name}`,
          `${unit} by ${rows[0].curve.axis}, both logarithmic`,
          (width, title) => curveChart(rows, styles, width, title),
        );
      });
    return { charts: ratios, curves: drawn, styles };
  }

  function icon(style) {
    const svg = d3.create('svg').attr('viewBox', '-7 -7 14 14').attr('aria-hidden', 'true');
    svg
      .append('path')
      .attr('d', d3.symbol(SYMBOLS[style.symbol], style.own ? 90 : 55)())
      .attr('fill', style.hollow ? 'none' : style.color)
      .attr('stroke', style.hollow ? style.color : 'none')
      .attr('stroke-width', 1.5);
    return svg.node();
  }

  /** Draws into the element whenever its width changes. */
  function keepDrawn({ element, draw }) {
    let width = 0;
    new ResizeObserver(() => {
      const now = Math.floor(element.clientWidth);
      if (now === width || now === 0) return;
      width = now;
      const chart = draw(width);
      chart.setAttribute('role', 'img');
      for (const old of element.querySelectorAll(':scope > svg')) old.remove();
      element.append(chart);
    }).observe(element);
  }

  for (const suite of results.suites) {
    const section = document.querySelector(`[data-suite="${suite.name}"]`);
    const { charts, curves, styles } = chartsOf(suite);
    for (const item of section.querySelectorAll('.key li'))
      item.prepend(icon(styles.get(item.dataset.subject)));
    const place = section.querySelector('.charts');
    place.append(...charts.map(({ element }) => element));
    const grid = place.appendChild(document.createElement('div'));
    grid.className = 'curves';
    grid.append(...curves.map(({ element }) => element));
    for (const chart of [...charts, ...curves]) keepDrawn(chart);
  }
})();
