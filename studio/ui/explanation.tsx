import type { VNode } from "preact";
import { type TextKey, t } from "../i18n/index.ts";
import { docsAddress } from "./docs.ts";

interface ExplanationProps {
  readonly name: string;
  readonly formulas: readonly VNode[];
  readonly texts: readonly TextKey[];
  /** The page of the documentation, below docs/ and without its extension. */
  readonly page: string;
}

/** What something does, in formulas and words, with its page of the documentation. */
export function Explanation({ name, formulas, texts, page }: ExplanationProps) {
  return (
    <div>
      <h3>{name}</h3>
      <section
        class="formulas"
        aria-label={name}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: where it is narrow, keys scroll it
        tabIndex={0}
      >
        {formulas.map((formula, k) => (
          <math key={k} display="block">
            {formula}
          </math>
        ))}
      </section>
      {texts.map((text) => (
        <p key={text}>{t(text)}</p>
      ))}
      <p>
        <a href={docsAddress(page)} target="_blank" rel="noreferrer">
          {t("math.more", { name })}
        </a>
      </p>
    </div>
  );
}
