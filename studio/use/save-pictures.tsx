import { t } from "../i18n/index.ts";
import { saveFile } from "../playground/download.ts";
import { fileOfPicture } from "./picture-files.ts";
import type { Picture, PictureForm } from "./pictures.ts";

/** Offers pictures as files, by the names that the command has for them. */
export function SavePictures({
  pictures,
  form,
}: {
  readonly pictures: Readonly<Record<string, Picture>>;
  readonly form: PictureForm;
}) {
  const names = Object.keys(pictures);
  return (
    <button
      type="button"
      onClick={() => {
        for (const [name, picture] of Object.entries(pictures))
          void fileOfPicture(picture, form).then((file) => saveFile(name, file));
      }}
    >
      {t("use.save-pictures", { names: names.join(", ") })}
    </button>
  );
}
