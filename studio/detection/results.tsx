import { number, t } from "../i18n/index.ts";
import { SquareCanvas } from "../ui/canvas.tsx";
import { isDark } from "../ui/settings.ts";
import type { Assigned, CellAnchor, ObjectCount } from "./engine.ts";
import { objectName, unitTexts } from "./names.ts";
import { objectColor, paintLevel } from "./paint.ts";
import { RULE_ENTRIES } from "./rules.ts";
import { answer, state } from "./store.ts";

/** The maps of the detector, finest first, with the cells that objects have. */
function Levels({ assigned }: { readonly assigned: Assigned }) {
  return (
    <ul class="levels">
      {assigned.levels.map(({ stride, rows, columns }, i) => {
        const own = assigned.marks.filter(({ level, role }) => level === i && role === "positive").length;
        const text = t("assign.level", {
          stride: number(stride),
          rows: number(rows),
          columns: number(columns),
          count: number(own),
        });
        return (
          <li key={stride}>
            <SquareCanvas
              paint={(frame) => {
                const now = answer.value;
                const level = now?.levels[i];
                if (now === undefined || level === undefined) return;
                paintLevel(
                  frame,
                  level,
                  now.marks.filter((mark) => mark.level === i),
                  now.heat,
                );
              }}
            />
            <p>{text}</p>
          </li>
        );
      })}
    </ul>
  );
}

/** A table that scrolls by itself where it is wide. */
function Table({
  label,
  head,
  rows,
}: {
  readonly label: string;
  readonly head: readonly string[];
  readonly rows: readonly {
    readonly key: string;
    readonly color?: string;
    readonly cells: readonly string[];
  }[];
}) {
  return (
    <section
      class="wide"
      aria-label={label}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: where it is narrow, keys scroll it
      tabIndex={0}
    >
      <table>
        <thead>
          <tr>
            {head.map((text) => (
              <th key={text} scope="col">
                {text}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(({ key, color, cells: [first = "", ...cells] }) => (
            <tr key={key}>
              <th scope="row">
                {color === undefined ? null : (
                  <svg class="swatch" viewBox="0 0 10 10" aria-hidden="true">
                    <rect width="10" height="10" rx="2" fill={color} />
                  </svg>
                )}
                {first}
              </th>
              {cells.map((cell, i) => (
                <td key={head[i + 1]}>{cell}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

/** The IoU of an object's anchors: from the lowest to the highest, where those differ as they are written. */
function overlaps({ lowest, highest }: ObjectCount): string {
  if (lowest === undefined || highest === undefined) return "–";
  const [low, high] = [number(lowest, 2), number(highest, 2)];
  return low === high ? low : t("assign.range", { low, high });
}

/** What each object is given. */
function Counts({ assigned }: { readonly assigned: Assigned }) {
  const { objects, rule } = state.value;
  const hasAnchors = RULE_ENTRIES[rule].unit === "anchors";
  const dark = isDark.value;
  return (
    <Table
      label={t("assign.counts")}
      head={[
        t("assign.object"),
        t("assign.size"),
        t("assign.all"),
        ...(hasAnchors ? [t("assign.iou"), t("assign.ignored")] : []),
        ...assigned.levels.map(({ stride }) => t("assign.stride-of", { stride: number(stride) })),
      ]}
      rows={objects.flatMap(({ box: [x1, y1, x2, y2] }, i) => {
        const count = assigned.counts[i];
        if (count === undefined) return [];
        return [
          {
            key: String(i),
            color: objectColor(i, dark),
            cells: [
              objectName(objects, i),
              t("assign.sides", { width: number(x2 - x1), height: number(y2 - y1) }),
              number(count.total),
              ...(hasAnchors ? [overlaps(count), number(count.ignored)] : []),
              ...count.positives.map((value) => number(value)),
            ],
          },
        ];
      })}
    />
  );
}

const ROLES = {
  positive: "assign.role.positive",
  ignored: "assign.role.ignored",
  background: "assign.role.background",
} as const;

/** The anchors of the cells under the chosen object's center, those with the highest IoU first. */
function CellAnchors({
  anchors,
  assigned,
}: {
  readonly anchors: readonly CellAnchor[];
  readonly assigned: Assigned;
}) {
  const listed = [...anchors].sort((a, b) => b.iou - a.iou).slice(0, 12);
  return (
    <Table
      label={t("assign.cell-anchors")}
      head={[t("assign.anchor"), t("assign.map"), t("assign.iou"), t("assign.role")]}
      rows={listed.map(({ box: [x1, y1, x2, y2], level, iou, role }, i) => ({
        key: String(i),
        cells: [
          t("assign.sides", { width: number(x2 - x1), height: number(y2 - y1) }),
          t("assign.stride-of", { stride: number(assigned.levels[level]?.stride ?? 0) }),
          number(iou, 2),
          t(ROLES[role]),
        ],
      }))}
    />
  );
}

/** Which maps, cells and anchors the objects have. */
export function Results() {
  const { rule, shown } = state.value;
  const assigned = answer.value;
  return (
    <section class="card results" aria-labelledby="results-title">
      <h2 id="results-title">{t("assign.title", { name: t(RULE_ENTRIES[rule].name) })}</h2>
      {assigned === undefined ? (
        <p role="status">{t("assign.loading")}</p>
      ) : (
        <>
          <p class="hint">{t(unitTexts(rule).all, { count: number(assigned.total) })}</p>
          <Levels assigned={assigned} />
          <Counts assigned={assigned} />
          {shown === "cell" && assigned.cell.length > 0 ? (
            <>
              <h3>{t("assign.cell-anchors")}</h3>
              <CellAnchors anchors={assigned.cell} assigned={assigned} />
            </>
          ) : null}
        </>
      )}
    </section>
  );
}
