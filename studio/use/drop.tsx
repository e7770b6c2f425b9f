import { useSignal } from "@preact/signals";
import type { UsableModel } from "eidos/serve";
import { t } from "../i18n/index.ts";
import { GivenError } from "./given-error.ts";
import { parseTable, type Table } from "./tables.ts";

interface DropProps {
  /** What is wanted, or what is being done with it. */
  readonly text: string;
  readonly accept: string;
  readonly isMultiple?: boolean;
  readonly onFiles: (files: readonly File[]) => void;
}

/** A place for files: chosen, or dropped. */
export function Drop({ text, accept, isMultiple = false, onFiles }: DropProps) {
  const isOver = useSignal(false);
  const take = (files: FileList | null | undefined): void => {
    const all = [...(files ?? [])];
    if (all.length > 0) onFiles(isMultiple ? all : all.slice(0, 1));
  };
  return (
    <label
      class={`drop${isOver.value ? " over" : ""}`}
      onDragOver={(event) => {
        event.preventDefault();
        isOver.value = true;
      }}
      onDragLeave={() => {
        isOver.value = false;
      }}
      onDrop={(event) => {
        event.preventDefault();
        isOver.value = false;
        take(event.dataTransfer?.files);
      }}
    >
      <span>{text}</span>
      <input
        type="file"
        accept={accept}
        multiple={isMultiple}
        onChange={(event) => {
          take(event.currentTarget.files);
        }}
      />
    </label>
  );
}

/** Bytes of a table that is read: the server takes no more. */
const MOST_BYTES = 32e6;

/** A place for a table. @param onTable is given a function that reads it, and throws a GivenError where it is none */
export function TableDrop({
  model,
  isBusy,
  onTable,
}: {
  readonly model: UsableModel;
  readonly isBusy: boolean;
  readonly onTable: (read: () => Promise<Table>) => void;
}) {
  const { sample } = model;
  const columns = sample.kind === "rows" ? sample.columns : [];
  return (
    <Drop
      text={isBusy ? t("use.busy") : t("use.table", { columns: columns.map(({ name }) => name).join(", ") })}
      accept=".csv,.tsv,.txt,.json,text/csv,application/json"
      onFiles={([file]) => {
        if (file === undefined) return;
        onTable(async () => {
          if (file.size > MOST_BYTES) throw new GivenError(t("use.table.large", { name: file.name }));
          // What every command takes for gaps. It is fetched when the first table is read, as it is part of what reads tables.
          const { MISSING } = await import("eidos/data/table");
          return parseTable(file.name, await file.text(), columns, MISSING);
        });
      }}
    />
  );
}
