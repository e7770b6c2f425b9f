/** The name at the head of every page, beside the mark. */
export function Brand({ name }: { readonly name: string }) {
  return (
    <p class="brand">
      <span lang="el" aria-hidden="true">
        εἶδος
      </span>
      <span>{name}</span>
    </p>
  );
}
