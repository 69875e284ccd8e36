const most = 10_000; // lines

// Lines with their numbers, as many as a browser bears.
function Numbered({
  lines,
  label,
  kindOf,
}: {
  lines: string[];
  label: string;
  kindOf?: (line: string) => string | undefined;
}) {
  return (
    <div className={`source ${kindOf ? 'diff' : ''}`} role="region" aria-label={label} tabIndex={0}>
      <table role="presentation">
        <tbody>
          {lines.slice(0, most).map((line, i) => (
            <tr key={i} className={kindOf?.(line)}>
              <td aria-hidden="true">{i + 1}</td>
              <td>{line || ' '}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {lines.length > most && <p>({lines.length - most} more lines)</p>}
    </div>
  );
}

export const CodeView = ({ text, label }: { text: string; label: string }) => (
  <Numbered lines={text.replace(/\n$/, '').split('\n')} label={label} />
);

const headings = ['@@', 'diff ', 'index ', '+++', '---'];
const kind = (line: string) =>
  headings.some((h) => line.startsWith(h))
    ? 'hunk'
    : line.startsWith('+')
      ? 'add'
      : line.startsWith('-')
        ? 'del'
        : undefined;
export const DiffView = ({ patch }: { patch: string }) => (
  <Numbered lines={patch.split('\n')} label="What changed" kindOf={kind} />
);
