export function CodeView({ text, label }: { text: string; label: string }) {
  const lines = text.replace(/\n$/, '').split('\n');
  const shown = lines.slice(0, 10_000);
  return (
    <div className="source" role="region" aria-label={label} tabIndex={0}>
      <table role="presentation">
        <tbody>
          {shown.map((line, i) => (
            <tr key={i}>
              <td aria-hidden="true">{i + 1}</td>
              <td>{line || ' '}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {shown.length < lines.length && <p>({lines.length - shown.length} more lines)</p>}
    </div>
  );
}

const kind = (line: string) =>
  line.startsWith('@@') ||
  line.startsWith('diff ') ||
  line.startsWith('index ') ||
  line.startsWith('+++') ||
  line.startsWith('---')
    ? 'hunk'
    : line.startsWith('+')
      ? 'add'
      : line.startsWith('-')
        ? 'del'
        : undefined;
export function DiffView({ patch }: { patch: string }) {
  return (
    <div className="source diff" role="region" aria-label="What changed" tabIndex={0}>
      <table role="presentation">
        <tbody>
          {patch
            .split('\n')
            .slice(0, 10_000)
            .map((line, i) => (
              <tr key={i} className={kind(line)}>
                <td aria-hidden="true">{i + 1}</td>
                <td>{line || ' '}</td>
              </tr>
            ))}
        </tbody>
      </table>
    </div>
  );
}
