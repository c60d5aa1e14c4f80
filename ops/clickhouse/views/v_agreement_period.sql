-- Observed agreement, alpha and AC1 over any period, from the statistics of its panes: all series at once, whatever the number of units.
--
--   SELECT dimension, alpha, ac1, ac1_low, ac1_high FROM v_agreement_period(since = '2026-11-01', until = '2026-12-01')
--   WHERE application = 'billing-support' AND slice = 'all'
--
-- Takes the panes that lie between `since` and `until`, UTC; alpha is at the level of the series. Cells of the statistics add. The intervals
-- are those of `trueloop.agreement`: a coefficient moves by `influence` per unit of a feature, so its variance is the sum of
-- influence x influence x moment. For the interval of alpha see v_agreement_alpha. Where `complete` is false some pane has too many values to
-- carry statistics, and the coefficients are null.
CREATE OR REPLACE VIEW v_agreement_period AS
WITH
    panes AS
    (
        SELECT * FROM v_agreement_statistics
        WHERE window_start >= {since:DateTime64(6, 'UTC')} AND window_end <= {until:DateTime64(6, 'UTC')}
    ),
    evidence AS
    (
        SELECT *
        FROM
        (
            SELECT
                application, dimension, slice, rubric_id, rubric_version, kind, level, series_id, min(p.window_start) AS start, max(p.window_end) AS end,
                sum(p.n_units) AS pairable, sum(p.n_labels) AS rated, sum(p.n_tasks) AS clusters, min(p.statistics_kept) AS complete,
                max(length(p.categories)) AS q
            FROM panes AS p
            GROUP BY application, dimension, slice, rubric_id, rubric_version, kind, level, series_id
        ) AS s
        LEFT JOIN
        (
            SELECT series_id, groupArray((x, n)) AS sizes
            FROM (SELECT series_id, cell.raters AS x, sum(cell.units) AS n FROM panes ARRAY JOIN sizes AS cell GROUP BY series_id, x)
            GROUP BY series_id
        ) AS r USING (series_id)
        LEFT JOIN
        (
            SELECT series_id, groupArray((x, value, n)) AS ratings
            FROM (SELECT series_id, cell.raters AS x, cell.value AS value, sum(cell.ratings) AS n FROM panes ARRAY JOIN ratings AS cell GROUP BY series_id, x, value)
            GROUP BY series_id
        ) AS v USING (series_id)
        LEFT JOIN
        (
            SELECT series_id, groupArray((x, low, high, n)) AS coincidences
            FROM
            (
                SELECT series_id, cell.raters AS x, cell.low AS low, cell.high AS high, sum(cell.pairs) AS n
                FROM panes ARRAY JOIN coincidences AS cell
                WHERE low < high
                GROUP BY series_id, x, low, high
            )
            GROUP BY series_id
        ) AS c USING (series_id)
        LEFT JOIN
        (
            SELECT series_id, groupArray((one, other, n)) AS moments
            FROM
            (
                SELECT
                    series_id, concat(toString(cell.raters), ' ', cell.feature) AS one, concat(toString(cell.other_raters), ' ', cell.other_feature) AS other,
                    sum(cell.total) AS n
                FROM panes ARRAY JOIN moments AS cell
                GROUP BY series_id, one, other
            )
            GROUP BY series_id
        ) AS m USING (series_id)
    ),
    counted AS
    (
        SELECT
            *, complete AND pairable > 0 AS usable, arraySum(size -> size.2, sizes) AS units,
            arraySort(arrayDistinct(arrayMap(cell -> cell.2, ratings))) AS categories
        FROM evidence
    ),
    shared AS
    (
        SELECT
            *, arrayMap(value -> arraySum(cell -> if(cell.2 = value, cell.3 / cell.1, 0), ratings) / units, categories) AS shares,
            arrayMap(value -> arraySum(cell -> if(cell.2 = value AND cell.1 > 1, cell.3, 0), ratings), categories) AS marginals
        FROM counted
    ),
    placed AS
    (
        SELECT
            *, arraySum(share -> share * share, shares) AS squares, arraySum(marginals) AS n,
            arrayMap((value, until_here, here) -> if(level = 'ORDINAL', until_here - here / 2, toFloat64(value)),
                categories, arrayCumSum(marginals), marginals) AS places
        FROM shared
    ),
    distant AS
    (
        SELECT
            *, arrayMap(one -> arrayMap(other -> multiIf(
                level = 'NOMINAL', toFloat64(one != other),
                level IN ('ORDINAL', 'INTERVAL'), pow(other - one, 2),
                one = other, 0, pow((other - one) / (other + one), 2)), places), places) AS apart
        FROM placed
    ),
    disagreeing AS
    (
        SELECT
            *, arraySum(cell -> cell.4 / (cell.1 - 1) * apart[indexOf(categories, cell.2)][indexOf(categories, cell.3)], coincidences) AS observed,
            arraySum((one, distances) -> one * arraySum((other, distance) -> other * distance, marginals, distances), marginals, apart) / 2 AS expected,
            1 - arraySum(cell -> cell.4 * 2 / (cell.1 * (cell.1 - 1)), coincidences) / pairable AS agreement,
            arrayJoin(['p_o', 'ac1']) AS coefficient
        FROM distant
    ),
    by_chance AS
    (
        SELECT *, if(coefficient = 'ac1' AND q > 1, 1 / (q - 1), 0) AS factor, 1 - factor * (1 - squares) AS beyond
        FROM disagreeing
    ),
    corrected AS
    (
        SELECT
            *, 1 - (1 - agreement) / beyond AS estimate, 2 * factor * (1 - agreement) / (units * beyond * beyond) AS by_share,
            usable AND (q > 1 OR coefficient = 'p_o') AS defined, clusters - 1 AS df, 1.959963984540054 AS z
        FROM by_chance
    ),
    moved AS
    (
        SELECT
            *, mapFromArrays(
                arrayFlatten(arrayMap(size -> arrayMap(feature -> concat(toString(size.1), ' ', feature),
                    arrayConcat(['units', 'apart'], arrayMap(value -> concat('value=', toString(value)), categories))), sizes)),
                arrayFlatten(arrayMap(size -> arrayConcat(
                    [if(size.1 > 1, (1 - agreement) / (pairable * beyond), 0) - by_share * squares,
                     if(size.1 > 1, -2 / (size.1 * (size.1 - 1) * pairable * beyond), 0)],
                    arrayMap(share -> by_share * share / size.1, shares)), sizes))) AS influence,
            z + (pow(z, 3) + z) / 4 / df + (5 * pow(z, 5) + 16 * pow(z, 3) + 3 * z) / 96 / pow(df, 2)
                + (3 * pow(z, 7) + 19 * pow(z, 5) + 17 * pow(z, 3) - 15 * z) / 384 / pow(df, 3)
                + (79 * pow(z, 9) + 776 * pow(z, 7) + 1482 * pow(z, 5) - 1920 * pow(z, 3) - 945 * z) / 92160 / pow(df, 4) AS t
        FROM corrected
    ),
    varied AS
    (
        SELECT *, arraySum(cell -> influence[cell.1] * influence[cell.2] * cell.3 * if(cell.1 = cell.2, 1, 2), moments) AS scatter
        FROM moved
    ),
    bounded AS
    (
        SELECT
            *, defined AND clusters >= 20 AND scatter > 1e-18 AND estimate < 1 AS has_bounds, sqrt(1 - estimate) AS root,
            t * sqrt(scatter * clusters / df) / (2 * sqrt(1 - estimate)) AS half
        FROM varied
    )
SELECT
    application, dimension, slice, rubric_id, rubric_version, kind, level, any(start) AS window_start, any(end) AS window_end,
    any(pairable) AS n_units, any(rated) AS n_labels, any(clusters) AS n_tasks, any(complete) AS complete,
    anyIf(if(defined, estimate, NULL), coefficient = 'p_o') AS p_o,
    anyIf(if(has_bounds, greatest(0, 1 - pow(root + half, 2)), NULL), coefficient = 'p_o') AS p_o_low,
    anyIf(if(has_bounds, 1 - pow(greatest(0, root - half), 2), NULL), coefficient = 'p_o') AS p_o_high,
    any(if(usable AND expected > 0, 1 - (n - 1) * observed / expected, NULL)) AS alpha,
    anyIf(if(defined, estimate, NULL), coefficient = 'ac1') AS ac1,
    anyIf(if(has_bounds, greatest(-1, 1 - pow(root + half, 2)), NULL), coefficient = 'ac1') AS ac1_low,
    anyIf(if(has_bounds, 1 - pow(greatest(0, root - half), 2), NULL), coefficient = 'ac1') AS ac1_high,
    series_id
FROM bounded
GROUP BY application, dimension, slice, rubric_id, rubric_version, kind, level, series_id
COMMENT 'Observed agreement, alpha and AC1 over a period, from the statistics of panes: v_agreement_period(since = ..., until = ...).';
