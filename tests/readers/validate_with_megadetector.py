"""Print the errors and warnings of MegaDetector's validator about a results file.

python validate_with_megadetector.py RESULTS
"""

import contextlib
import io
import json
import sys

from megadetector.postprocessing.validate_batch_results import ValidateBatchResultsOptions, validate_batch_results


def main(path: str) -> None:
    options = ValidateBatchResultsOptions()
    options.return_data = True
    with contextlib.redirect_stdout(io.StringIO()):
        results = validate_batch_results(path, options)
    told = results["validation_results"]
    print(json.dumps({name: told[name] for name in ("errors", "warnings", "detection_category_id_to_count")}))


if __name__ == "__main__":
    main(*sys.argv[1:])
