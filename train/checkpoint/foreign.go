package checkpoint

import (
	"fmt"
	"slices"

	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/weights"
)

// Foreign fits weights of any origin to a network: other people's names are understood,
// and the heads start anew where the file names other classes than spec. doubt, where it
// is not empty, says that the weights want images made ready otherwise than spec has it;
// it is given beside an error too.
func Foreign(net *model.Network, spec model.Spec, file *weights.File) (a Adapted, doubt string, err error) {
	otherClasses := false
	if text := file.Metadata[model.SpecKey]; text != "" {
		own, err := model.ParseSpec(text)
		if err != nil {
			return a, "", err
		}
		otherClasses = !slices.Equal(own.Classes, spec.Classes)
		if own.Mean != spec.Mean || own.Std != spec.Std {
			doubt = fmt.Sprintf("the weights were fitted to images of mean %v and deviation %v, the recipe has %v and %v", own.Mean, own.Std, spec.Mean, spec.Std)
		}
	} else if published, err := weights.PublishedSpec(net.Name); err == nil && !published.SameInput(spec) {
		doubt = fmt.Sprintf("published weights of %s want images of mean %v and deviation %v, the recipe has %v and %v; mend it with --set mean=[...] --set std=[...] if these are such weights", net.Name, published.Mean, published.Std, spec.Mean, spec.Std)
	}
	a, err = Adapt(net, weights.Rename(net, file.Tensors), otherClasses)
	return a, doubt, err
}
