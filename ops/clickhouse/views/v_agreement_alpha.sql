-- Krippendorff's alpha and its 95 % interval over any period and any slice that tasks carry, whether or not the policy estimates that slice:
--
--   SELECT * FROM v_agreement_alpha(since = '2026-11-01', until = '2026-12-01', slice = 'locale=de', level = 'ordinal')
--   WHERE application = 'billing-support'
--
-- `since` is inclusive and `until` exclusive, UTC; `slice` is 'all' or 'name=value'; `level` is 'nominal', 'ordinal', 'interval' or 'ratio'.
-- Computed from the units as `trueloop.agreement.krippendorff_alpha` does with tasks for clusters, down to the random weights of the
-- bootstrap: that of replicate 64 b + i is what byte i of SHA-512 of 'b:task_id' stands for. In the arrays here the data themselves come
-- first, with weight 1. Null bounds mean fewer than 20 tasks, or that nothing varies. No row means no task with two labels.
-- (One step per WITH query: within a query ClickHouse would expand each alias wherever it is used.)
CREATE OR REPLACE VIEW v_agreement_alpha AS
WITH
    paired AS
    (
        SELECT
            application, dimension, rubric_id, rubric_version, series_id, task_id, unit.repeats AS repeats, arraySum(unit.counts) AS m,
            arrayFlatten(arrayMap(
                (one, count, place) -> arrayConcat(
                    if(count > 1, [(one, one, intDiv(count * (count - 1), 2))], []),
                    arrayMap((other, others) -> (one, other, count * others), arraySlice(unit.values, place + 1), arraySlice(unit.counts, place + 1))),
                unit.values, unit.counts, arrayEnumerate(unit.values))) AS pairs
        FROM
        (
            SELECT application, dimension, rubric_id, rubric_version, series_id, task_id, units
            FROM agreement_units FINAL
            WHERE slice = 'all' AND task_at >= {since:DateTime64(6, 'UTC')} AND task_at < {until:DateTime64(6, 'UTC')}
                AND ({slice:String} = 'all' OR (application, task_id) IN (
                    SELECT application, task_id FROM review_queue
                    WHERE has(arrayMap((name, value) -> concat(name, '=', value), mapKeys(slices), mapValues(slices)), {slice:String})))
            ORDER BY revision DESC, _offset DESC
            LIMIT 1 BY application, series_id, task_id
        )
        ARRAY JOIN units AS unit
        WHERE m > 1 AND NOT throwIf({level:String} NOT IN ('nominal', 'ordinal', 'interval', 'ratio'), 'level is none of nominal, ordinal, interval, ratio')
    ),
    coincidences AS
    (
        SELECT
            application, dimension, rubric_id, rubric_version, series_id, pair.1 AS low, pair.2 AS high,
            sumForEach(arrayMap(weight -> weight * pair.3 * repeats / (m - 1), weights)) AS met
        FROM
        (
            SELECT
                *, arrayConcat([1], arrayMap(
                    byte -> multiIf(byte < 94, 0, byte < 189, 1, byte < 235, 2, byte < 251, 3, byte < 255, 4, 5),
                    arrayFlatten(arrayMap(
                        block -> arrayMap(place -> reinterpretAsUInt8(substring(SHA512(concat(toString(block), ':', task_id)), place, 1)), range(1, 65)),
                        range(4))))) AS weights
            FROM paired
        )
        ARRAY JOIN pairs AS pair
        GROUP BY application, dimension, rubric_id, rubric_version, series_id, low, high
    ),
    replicated AS
    (
        SELECT
            application, dimension, rubric_id, rubric_version, series_id, replicate, groupArray((low, high, count)) AS cells,
            arraySort(arrayDistinct(arrayFlatten(groupArray([low, high])))) AS categories
        FROM coincidences
        ARRAY JOIN met AS count, arrayEnumerate(met) AS replicate
        WHERE count > 0
        GROUP BY application, dimension, rubric_id, rubric_version, series_id, replicate
    ),
    rated AS
    (
        SELECT
            *, arrayMap(value -> arraySum(cell -> (toUInt8(cell.1 = value) + toUInt8(cell.2 = value)) * cell.3, cells), categories) AS ratings
        FROM replicated
    ),
    placed AS
    (
        SELECT
            *, arraySum(ratings) AS n,
            arrayMap((value, until_here, here) -> if({level:String} = 'ordinal', until_here - here / 2, toFloat64(value)),
                categories, arrayCumSum(ratings), ratings) AS places
        FROM rated
    ),
    distant AS
    (
        SELECT
            *, arrayMap(one -> arrayMap(other -> multiIf(
                {level:String} = 'nominal', toFloat64(one != other),
                {level:String} IN ('ordinal', 'interval'), pow(other - one, 2),
                one = other, 0, pow((other - one) / (other + one), 2)), places), places) AS apart
        FROM placed
    ),
    disagreeing AS
    (
        SELECT
            *, arraySum(cell -> cell.3 * apart[indexOf(categories, cell.1)][indexOf(categories, cell.2)], cells) AS observed,
            arraySum((one, distances) -> one * arraySum((other, distance) -> other * distance, ratings, distances), ratings, apart) / 2 AS expected
        FROM distant
    ),
    alphas AS
    (
        SELECT *, if(expected > 1e-12 * pow(n, if({level:String} = 'ordinal', 4, 2)), 1 - (n - 1) * observed / expected, NULL) AS alpha
        FROM disagreeing
    ),
    summed AS
    (
        SELECT
            application, dimension, rubric_id, rubric_version, series_id, anyIf(alpha, replicate = 1) AS value, countIf(alpha IS NOT NULL AND replicate > 1) AS replicates,
            avgIf(alpha, replicate > 1) AS mean, varSampIf(alpha, replicate > 1) AS scatter
        FROM alphas
        GROUP BY application, dimension, rubric_id, rubric_version, series_id
    ),
    evidence AS
    (
        SELECT
            application, dimension, rubric_id, rubric_version, series_id,
            sum(repeats) AS n_units, sum(m * repeats) AS n_labels, uniqExact(task_id) AS n_tasks
        FROM paired
        GROUP BY application, dimension, rubric_id, rubric_version, series_id
    ),
    spread AS
    (
        SELECT *, n_tasks - 1 AS df, 1.959963984540054 AS z, n_tasks > 1 AND replicates >= 128 AND scatter > 0 AS scattered
        FROM evidence
        LEFT JOIN summed USING (application, dimension, rubric_id, rubric_version, series_id)
    ),
    bounded AS
    (
        SELECT
            *, scattered AND n_tasks >= 20 AND value < 1 AS has_bounds, sqrt(scatter * n_tasks / df) AS deviation,
            z + (pow(z, 3) + z) / 4 / df + (5 * pow(z, 5) + 16 * pow(z, 3) + 3 * z) / 96 / pow(df, 2)
                + (3 * pow(z, 7) + 19 * pow(z, 5) + 17 * pow(z, 3) - 15 * z) / 384 / pow(df, 3)
                + (79 * pow(z, 9) + 776 * pow(z, 7) + 1482 * pow(z, 5) - 1920 * pow(z, 3) - 945 * z) / 92160 / pow(df, 4) AS t
        FROM spread
    ),
    rooted AS
    (
        SELECT *, sqrt(greatest(0, 1 - 2 * value + mean)) AS root, t * deviation / (2 * sqrt(1 - value)) AS half
        FROM bounded
    )
SELECT
    application, dimension, {slice:String} AS slice, rubric_id, rubric_version, {level:String} AS level, n_units, n_labels, n_tasks, value AS alpha,
    if(has_bounds, greatest(-1, least(value, 1 - pow(root + half, 2))), NULL) AS alpha_low,
    if(has_bounds, greatest(value, 1 - pow(greatest(0, root - half), 2)), NULL) AS alpha_high,
    if(scattered, deviation, NULL) AS std_error
FROM rooted
COMMENT 'Alpha and its 95 % interval over a period, slice and level: v_agreement_alpha(since = ..., until = ..., slice = ..., level = ...).';
